-- SPDX-License-Identifier: MIT
-- needs: common
--
-- The lease for a writer, whoever has it (its form: lease.lua). Who waits for it goes on waiting,
-- now for the writer's frame, or for his release if he fails: so the mark stays.
--
-- KEYS  clk lease
-- ARGV  number token ms

local awaited = bytes(KEYS[2], 8, 8) == '\1' and '\1' or '\0'
redis.call('DEL', KEYS[2])
redis.call('SET', KEYS[2], ARGV[2] .. awaited .. struct.pack('<I8', now), 'PX', ARGV[3])
return answer(GRANTED)
