-- SPDX-License-Identifier: MIT
-- needs: common
--
-- The lease for a writer, whoever has it (its form: lease.lua). Who waited for it is woken by the
-- writer's frame.
--
-- KEYS  clk lease
-- ARGV  number token ms

redis.call('DEL', KEYS[2])
redis.call('SET', KEYS[2], ARGV[2] .. '\0' .. struct.pack('<I8', now), 'PX', ARGV[3])
return answer(GRANTED)
