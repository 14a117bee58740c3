-- SPDX-License-Identifier: MIT
-- needs: common
--
-- More time for the lease, if it still holds the token.
--
-- KEYS  lease clk
-- ARGV  token ms

if bytes(KEYS[1], 0, 7) ~= ARGV[1] then return answer(KEYS[2], REFUSED) end
redis.call('PEXPIRE', KEYS[1], ARGV[2])
return answer(KEYS[2], STORED)
