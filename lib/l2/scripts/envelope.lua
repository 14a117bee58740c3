-- SPDX-License-Identifier: MIT
-- The fields of a stored envelope that scripts look at.

local HEADER_BYTES = 96
local FILL_ID_AT = 32
local VERSION_AT = 40
local TIME_AT = 48

-- How far a node's idea of the server's time may be ahead: it is off by the way of one answer.
local AHEAD_MAX_MS = 2000

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

-- Whether a value says that it was filled later than now: the server's clock has been set back, and
-- whoever filled it does not know yet. It would seem young again when that time comes.
local function ahead(envelope)
    return #envelope >= HEADER_BYTES and
        struct.unpack('<I8', envelope, TIME_AT + 1) > now + AHEAD_MAX_MS
end
