-- SPDX-License-Identifier: MIT
-- needs: common
--
-- What lies under a key and for how many ms more, and who may load it: for people. It writes
-- nothing. A key of another type is told as a value of no bytes, which nobody can read.
--
-- KEYS  clk data lease
-- ARGV  number

local value = readable(redis.pcall('GET', KEYS[2]))
local text = type(value) == 'string' and value or ''
return answer(value and VALUE or NONE, {text, redis.call('PTTL', KEYS[2]),
                                        bytes(KEYS[3], 0, 16), redis.call('PTTL', KEYS[3])})
