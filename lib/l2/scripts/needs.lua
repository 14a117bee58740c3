-- SPDX-License-Identifier: MIT
-- needs:
--
-- Which of these commands there are, and may be called by this user; and where the clock stands. It
-- calls no more of them than that takes.
--
-- KEYS  clk
-- ARGV  a command and its first argument, which the right may depend on; the next command; ...
--
-- The answer is one string, a byte for each command: + - (not there) or ! (forbidden), then id and
-- position of the clock, if there is one. Nil: this server cannot tell. It is asked in the
-- handshake, where no call has a number yet.
--
-- Redis 8 looks at how many arguments a command takes, and calls any other number an error, as it
-- does a command that is not there. Those before look at none.

local may, told = redis.acl_check_cmd, {}
if not may then return false end
for i = 1, #ARGV, 2 do
    local arg, there, allowed = ARGV[i + 1], false
    for count = 4, 0, -1 do
        if not there then
            there, allowed = pcall(may, ARGV[i], unpack({arg, arg, arg, arg}, 1, count))
        end
    end
    told[#told + 1] = not there and '-' or allowed and '+' or '!'
end
local clock = redis.pcall('GETRANGE', KEYS[1], '0', '15')
return table.concat(told) .. (type(clock) == 'string' and #clock == 16 and clock or '')
