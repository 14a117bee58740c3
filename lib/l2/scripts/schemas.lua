-- SPDX-License-Identifier: MIT
-- The schemas in use, per space: what a change has to delete. They lie behind the groups of the
-- clock (clock.lua comes before this file), each as
--
--     u32 bytes of the space's name  u32 bytes of the schema's  u64 until (ms)  space  schema
--
-- A schema is registered by the script that stores its first value, until its longest lifetime is
-- over, by the server's time, as lifetimes are. A new token tells everybody that the list is
-- another one.

local SCHEMAS_MAX = 8 -- of one space

local function schemas_text()
    local slots, len = struct.unpack('<I4I4', head, 65)
    return bytes(clk, GROUPS_AT + 16 * slots, GROUPS_AT + 16 * slots + len - 1), slots, len
end

local function schemas()
    local text, _, len = schemas_text()
    return len > 0 and text or ''
end

-- The records that are not over, as {space, schema, until}; and whether some were.
local function live_schemas(text)
    local list, at, dropped = {}, 1, false
    while #text - at >= 15 do
        local space_len, schema_len, ends = struct.unpack('<I4I4I8', text, at)
        local space = string.sub(text, at + 16, at + 15 + space_len)
        local schema = string.sub(text, at + 16 + space_len, at + 15 + space_len + schema_len)
        at = at + 16 + space_len + schema_len
        if ends < now then
            dropped = true
        else
            list[#list + 1] = {space, schema, ends}
        end
    end
    return list, dropped
end

local function put_schemas(list, slots)
    local parts = {}
    for i, r in ipairs(list) do
        parts[i] = struct.pack('<I4I4I8', #r[1], #r[2], r[3]) .. r[1] .. r[2]
    end
    local text = table.concat(parts)
    redis.call('SETRANGE', clk, GROUPS_AT + 16 * slots, text)
    set_head(69, struct.pack('<I4', #text))
    put_head(33, 72)
end

-- Whether the schema is registered for `ms` more, now. Nothing is done without a clock: what is
-- stored then is stale to everybody.
local function register(space, schema, ms, token)
    if head == '' then return false end
    local _, slots = schemas_text()
    local list, moved = live_schemas(schemas())
    local mine, count = nil, 0
    for _, r in ipairs(list) do
        if r[1] == space then
            count = count + 1
            if r[2] == schema then mine = r end
        end
    end
    if not mine then
        if count >= SCHEMAS_MAX then return false end
        mine, moved = {space, schema, 0}, true
        list[#list + 1] = mine
    end
    mine[3] = math.max(mine[3], now + ms)
    if moved then set_head(33, token) end
    put_schemas(list, slots)
    return true
end
