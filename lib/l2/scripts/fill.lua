-- SPDX-License-Identifier: MIT
-- needs: common envelope wake
--
-- Store a loaded value, if the lease still holds the token and nothing newer is there.
--
-- KEYS  data lease clk
-- ARGV  token version ms envelope channel head tail
--
-- The lease goes first: that is the DEL that lets the SET pass when memory is full. A refused
-- fill publishes too: whoever waits had better look at what is there.

local data, lease, clk = KEYS[1], KEYS[2], KEYS[3]
local token, ours, ms, envelope = ARGV[1], ARGV[2], ARGV[3], ARGV[4]

local held = bytes(lease, 0, 8)
if string.sub(held, 1, 8) ~= token then return answer(clk, REFUSED) end
redis.call('DEL', lease)

local verdict = REFUSED
if ours == ZERO or not above(version(data), ours) then
    redis.call('SET', data, envelope, 'PX', ms)
    verdict = STORED
end

local a = answer(clk, verdict)
wake(a, held, ARGV[5], ARGV[6], ARGV[7])
return a
