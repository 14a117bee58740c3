-- SPDX-License-Identifier: MIT
-- needs: common time envelope clock schemas wake
--
-- What fill.lua does, for many keys of a space and schema, one after the other. One frame wakes
-- whoever waits for any of them.
--
-- KEYS  clk, then per key: data lease
-- ARGV  number schemas rest, then per key: ms envelope
--
-- `more` of the answer has a byte for each key, its verdict.

local known, rest = ARGV[2], ARGV[3]
-- include: filling

local verdicts = {}
for i = 4, #ARGV, 2 do
    verdicts[#verdicts + 1] = string.char(fill(KEYS[i - 2], KEYS[i - 1], ARGV[i], ARGV[i + 1]))
end
wake_all()
return answer(NONE, table.concat(verdicts), registered)
