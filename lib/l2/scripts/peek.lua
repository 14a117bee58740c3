-- SPDX-License-Identifier: MIT
-- needs: common
--
-- What lies under a key and for how many ms more, and who may load it: for people. It writes
-- nothing.
--
-- KEYS  clk data lease
-- ARGV  number

local value = readable(redis.pcall('GET', KEYS[2]))
local there = type(value) == 'string'
return answer(there and VALUE or NONE, {there and value or '', redis.call('PTTL', KEYS[2]),
                                        bytes(KEYS[3], 0, 16), redis.call('PTTL', KEYS[3])})
