-- SPDX-License-Identifier: MIT
-- needs:
--
-- The value if a good one is there, else the right to load it.
--
-- KEYS  clk data lease
-- ARGV  number text ms rejected
--
-- text: what the lease holds: its token, a byte that says whether it is awaited, and the ms that it
-- was last given. One that has much more than those left outlives its time by as much as the
-- server's clock was set back. (Nodes before that wrote the time at which it was granted.)
-- rejected: fill id of a value that was seen and is not wanted; and a byte, 1: what is there is no
-- envelope anyone can read, and nobody else would ever end it.
--
-- When memory is full this must not run: a loader that could not fill learns it before it loads.
-- So the first write is a SET.
--
-- Where nothing is there and nobody has the lease the answer is one string: number, verdict, and
-- the beginning of the clock (of what is no clock, if that is there: as good as another one).

local told = redis.pcall('GETRANGE', KEYS[1], '0', '39')
local value = redis.pcall('GETRANGE', KEYS[2], '0', '95')
if value == '' and #told == 40 then
    if redis.call('SET', KEYS[3], ARGV[2], 'PX', ARGV[3], 'NX') then
        return ARGV[1] .. '\2' .. told
    end
end

-- include: common
-- include: envelope

local TIMES_ABOVE = 1099511627776 -- ms: no lease has so many, and no server a time before that

local data, lease = KEYS[2], KEYS[3]
local text, ms = ARGV[2], ARGV[3]
local token, rejected = string.sub(text, 1, 8), string.sub(ARGV[4], 1, 8)

local id = fill_id(data)
if id ~= '' and id ~= ZERO and id ~= rejected then
    return answer(VALUE, redis.call('GET', data))
end

local function granted()
    if string.sub(ARGV[4], 9, 9) == '\1' then redis.call('DEL', data) end
    return answer(GRANTED)
end

-- Whether it has more time left than it was given.
local function outlives(held, left)
    if #held ~= 17 then return false end
    local given = struct.unpack('<I8', held, 10)
    if given < TIMES_ABOVE then return left > given + AHEAD_MAX_MS end
    -- include: time
    return given > now + AHEAD_MAX_MS
end

if redis.call('SET', lease, text, 'PX', ms, 'NX') then return granted() end

local left, held = redis.call('PTTL', lease), bytes(lease, 0, 16)
if left < 0 or outlives(held, left) then
    -- A lease without a TTL is none of ours: nobody would ever give it back.
    -- Who waits for it does so still.
    if string.sub(held, 9, 9) == '\1' then text = token .. '\1' .. string.sub(text, 10) end
    redis.call('SET', lease, text, 'PX', ms)
    return granted()
end
if string.sub(held, 1, 8) == token then return granted() end -- asked again: the reply was lost
redis.pcall('SETRANGE', lease, 8, '\1')
return answer(HELD, left)
