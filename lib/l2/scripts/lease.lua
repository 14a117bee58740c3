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
-- include: leasing

local rejected, drop = string.sub(ARGV[4], 1, 8), string.sub(ARGV[4], 9, 9) == '\1'
return answer(ask(KEYS[2], KEYS[3], ARGV[2], ARGV[3], rejected, drop))
