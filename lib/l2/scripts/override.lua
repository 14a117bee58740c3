-- SPDX-License-Identifier: MIT
-- needs: common
--
-- The lease for a writer, whoever has it (its form: lease.lua). Who waits for it goes on waiting,
-- now for the writer's frame, or for his release if he fails: so the mark stays.
--
-- KEYS  clk lease
-- ARGV  number text ms

local text = ARGV[2]
if bytes(KEYS[2], 8, 8) == '\1' then
    text = string.sub(text, 1, 8) .. '\1' .. string.sub(text, 10)
end
redis.call('DEL', KEYS[2])
redis.call('SET', KEYS[2], text, 'PX', ARGV[3])
return answer(GRANTED)
