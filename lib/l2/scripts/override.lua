-- SPDX-License-Identifier: MIT
-- needs: common
--
-- The lease for a writer, whoever has it. Who waited for it is woken by the writer's frame.
--
-- KEYS  lease clk
-- ARGV  token ms

redis.call('DEL', KEYS[1])
redis.call('SET', KEYS[1], ARGV[1] .. '\0', 'PX', ARGV[2])
return answer(KEYS[2], GRANTED)
