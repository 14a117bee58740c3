-- SPDX-License-Identifier: MIT
-- needs: common wake
--
-- Give the lease back, if it still holds the token.
--
-- KEYS  clk lease
-- ARGV  number token channel front tail

local held = bytes(KEYS[2], 0, 8)
if string.sub(held, 1, 8) ~= ARGV[2] then return answer(NONE) end
redis.call('DEL', KEYS[2])
wake(held, ARGV[3], ARGV[4], ARGV[5])
return answer(NONE)
