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
-- When memory is full this must not run: a loader that could not fill learns it before it loads.
-- So the first write is a SET.

local data, lease = KEYS[2], KEYS[3]
local token, rejected, ms, drop = ARGV[2], ARGV[3], ARGV[4], ARGV[5] == '1'

local id = fill_id(data)
if id ~= '' and id ~= ZERO and id ~= rejected then
    return answer(VALUE, redis.call('GET', data))
end

local function granted()
    if drop then redis.call('DEL', data) end
    return answer(GRANTED)
end

if redis.call('SET', lease, token .. '\0', 'PX', ms, 'NX') then return granted() end

local left = redis.call('PTTL', lease)
if left < 0 then
    -- A lease without a TTL is none of ours: nobody would ever give it back.
    redis.call('SET', lease, token .. '\0', 'PX', ms)
    return granted()
end
if bytes(lease, 0, 7) == token then return granted() end -- asked again: the reply was lost
redis.pcall('SETRANGE', lease, 8, '\1')
return answer(HELD, left)
