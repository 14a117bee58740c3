-- SPDX-License-Identifier: MIT
-- needs:
--
-- Which of these commands there are, and may be called by this user. It calls none of them.
--
-- KEYS  clk
-- ARGV  a command and its first argument, which the right may depend on; the next command; ...
--
-- The answer is one string, a byte for each command: + - (not there) or ! (forbidden). Nil: this
-- server cannot tell. It is asked in the handshake, where no call has a number yet.

local may, told = redis.acl_check_cmd, {}
if not may then return false end
for i = 1, #ARGV, 2 do
    local there, allowed = pcall(may, ARGV[i], ARGV[i + 1], ARGV[i + 1])
    told[#told + 1] = not there and '-' or allowed and '+' or '!'
end
return table.concat(told)
