-- SPDX-License-Identifier: MIT
-- needs: common
--
-- More time for the lease, if it still holds the token.
--
-- KEYS  clk lease
-- ARGV  number token ms

if bytes(KEYS[2], 0, 7) ~= ARGV[2] then return answer(REFUSED) end
redis.call('PEXPIRE', KEYS[2], ARGV[3])
redis.call('SETRANGE', KEYS[2], 9, struct.pack('<I8', ARGV[3]))
return answer(STORED)
