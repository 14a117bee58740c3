-- SPDX-License-Identifier: MIT
-- needs: common envelope
--
-- The value if a good one is there, else the right to load it.
--
-- KEYS  clk data lease
-- ARGV  number token rejected ms drop
--
-- rejected: fill id of a value that was seen and is not wanted.
-- drop: what is there is no envelope anyone can read; nobody else would ever end it.
--
-- A lease holds its token, a byte that says whether it is awaited, and the time at which it was
-- granted: one granted (much) later than now outlives its time by as much as the server's clock was
-- set back.
--
-- When memory is full this must not run: a loader that could not fill learns it before it loads.
-- So the first write is a SET.

local data, lease = KEYS[2], KEYS[3]
local token, rejected, ms, drop = ARGV[2], ARGV[3], ARGV[4], ARGV[5] == '1'

local id = fill_id(data)
if id ~= '' and id ~= ZERO and id ~= rejected then
    return answer(VALUE, redis.call('GET', data))
end

local function ours(awaited) return token .. awaited .. struct.pack('<I8', now) end

local function granted()
    if drop then redis.call('DEL', data) end
    return answer(GRANTED)
end

if redis.call('SET', lease, ours('\0'), 'PX', ms, 'NX') then return granted() end

local left, held = redis.call('PTTL', lease), bytes(lease, 0, 16)
local later = #held == 17 and struct.unpack('<I8', held, 10) > now + AHEAD_MAX_MS
if left < 0 or later then
    -- A lease without a TTL is none of ours: nobody would ever give it back.
    -- Who waits for it does so still.
    redis.call('SET', lease, ours(string.sub(held, 9, 9) == '\1' and '\1' or '\0'), 'PX', ms)
    return granted()
end
if string.sub(held, 1, 8) == token then return granted() end -- asked again: the reply was lost
redis.pcall('SETRANGE', lease, 8, '\1')
return answer(HELD, left)
