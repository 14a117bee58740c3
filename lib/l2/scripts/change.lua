-- SPDX-License-Identifier: MIT
-- needs: common envelope clock
--
-- A change of the truth: values and leases, then the clock and the groups that got its position,
-- then the log and the channel. Everything is read and judged before anything is written.
--
-- KEYS  clk log nil, then per key: data lease
-- ARGV  channel head tail new_id clk_len keys,
--       then per key: mode version token ms envelope,
--       then per group: its offset in clk

-- modes
local DELETE = 0    -- if the stored version is 0 or below ours, or ours is 0
local SET_TOKEN = 1 -- set if the lease holds the token, else delete
local SET_NEWER = 2 -- set if the stored version is 0 or below ours
local SET = 3       -- set

local LOG_MAX = 16384 -- frames kept, at least: Redis trims whole nodes of the stream
local DEL_MAX = 4000  -- names in one DEL: Lua's unpack() takes less than 8000

local clk, log, nothing = KEYS[1], KEYS[2], KEYS[3]
local channel, head, tail, new_id = ARGV[1], ARGV[2], ARGV[3], ARGV[4]
local clk_len, keys = tonumber(ARGV[5]), tonumber(ARGV[6])

if foreign(clk, clk_len) then
    return redis.error_reply('GROUPS another number of group slots')
end

-- 'set', 'delete' or 'spare' the value, all of which drop the lease; or 'refuse'.
local function judge(mode, data, lease, ours, token)
    if mode == SET then return 'set' end
    if mode == SET_TOKEN then return bytes(lease, 0, 7) == token and 'set' or 'delete' end
    if mode == DELETE and ours == ZERO then return 'delete' end
    local stored = version(data)
    local below = stored == ZERO or above(ours, stored)
    if mode == DELETE then return below and 'delete' or 'spare' end
    return below and 'set' or 'refuse'
end

local gone, sets, verdict = {nothing}, {}, NONE
for i = 1, keys do
    local data, lease = KEYS[2 + 2 * i], KEYS[3 + 2 * i]
    local mode, ours, token, ms, envelope = unpack(ARGV, 2 + 5 * i, 6 + 5 * i)
    local what = judge(tonumber(mode), data, lease, ours, token)
    if what == 'refuse' then
        if i == 1 then return answer(clk, REFUSED) end
    else
        gone[#gone + 1] = lease
    end
    if what == 'delete' then gone[#gone + 1] = data end
    if what == 'set' then
        sets[#sets + 1] = {data, envelope, ms}
        if i == 1 then verdict = STORED end
    end
end

-- `nothing` never exists; deleting it makes this a write, whatever else there is to delete.
for i = 1, #gone, DEL_MAX do
    redis.call('DEL', unpack(gone, i, math.min(i + DEL_MAX - 1, #gone)))
end
for _, s in ipairs(sets) do redis.call('SET', s[1], s[2], 'PX', s[3]) end

-- Counted in a double: exact below 2^53, which is 285 years at a million changes a second.
ensure(clk, log, clk_len, new_id)
local seq = struct.unpack('<I8', redis.call('GETRANGE', clk, 8, 15)) + 1
local packed = struct.pack('<I8', seq)
redis.call('SETRANGE', clk, 8, packed)
for i = 7 + 5 * keys, #ARGV do redis.call('SETRANGE', clk, ARGV[i], packed) end

local frame = head .. replid .. redis.call('GETRANGE', clk, 0, 7) .. packed .. tail
local id = string.format('%.0f-0', seq)
local entry = {'XADD', log, 'MAXLEN', '~', LOG_MAX, id, 'f', frame}
local added = redis.pcall(unpack(entry))
if type(added) == 'table' and added.err then
    -- It is that of another clock, further on, or no stream at all.
    redis.call('DEL', log)
    redis.call(unpack(entry))
end
redis.call('PUBLISH', channel, frame)
return answer(clk, verdict)
