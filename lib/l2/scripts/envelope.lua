-- SPDX-License-Identifier: MIT
-- The fields of a stored envelope that scripts look at.

local HEADER_BYTES = 96
local FILL_ID_AT = 32
local VERSION_AT = 40

-- 8 bytes of the envelope's header; '' of what is not an envelope of this format.
local function field(key, at)
    local header = bytes(key, 0, HEADER_BYTES - 1)
    if #header < HEADER_BYTES or string.sub(header, 1, 5) ~= 'NIGH\2' then return '' end
    return string.sub(header, at + 1, at + 8)
end

local function fill_id(key)
    return field(key, FILL_ID_AT)
end

local function version(key)
    local v = field(key, VERSION_AT)
    return v == '' and ZERO or v
end

-- Versions use all 64 bits, of which a double holds 53; and Lua's own `<` on strings obeys the
-- server's locale. So they are compared in two halves.
local function above(a, b)
    local a_low, a_high = struct.unpack('<I4I4', a)
    local b_low, b_high = struct.unpack('<I4I4', b)
    return a_high > b_high or (a_high == b_high and a_low > b_low)
end
