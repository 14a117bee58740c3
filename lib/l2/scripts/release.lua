-- SPDX-License-Identifier: MIT
-- needs: common wake
--
-- Give the lease back, if it still holds the token.
--
-- KEYS  lease clk
-- ARGV  token channel head tail

local held = bytes(KEYS[1], 0, 8)
local a = answer(KEYS[2], NONE)
if string.sub(held, 1, 8) ~= ARGV[1] then return a end
redis.call('DEL', KEYS[1])
wake(a, held, ARGV[2], ARGV[3], ARGV[4])
return a
