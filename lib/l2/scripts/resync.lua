-- SPDX-License-Identifier: MIT
-- needs: common clock
--
-- The clock, made if it is not there, and all its positions.
--
-- KEYS  clk log nil
-- ARGV  new_id clk_len

redis.call('DEL', KEYS[3]) -- a write: a master that has been demoted refuses it
ensure(KEYS[1], KEYS[2], tonumber(ARGV[2]), ARGV[1])
return answer(KEYS[1], VALUE, redis.call('GET', KEYS[1]))
