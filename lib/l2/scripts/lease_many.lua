-- SPDX-License-Identifier: MIT
-- needs: common envelope leasing
--
-- What lease.lua does, for many keys, one after the other.
--
-- KEYS  clk, then per key: data lease
-- ARGV  number ms, then per key: asked
--
-- asked: text (17 bytes), rejected (8) and the byte behind it, joined.
--
-- `more` of the answer has what each key got: nil, the lease; '', the lease, over what is no
-- envelope; 4 bytes, the ms for which another has it; a longer string, the value.

local ms, list = ARGV[2], {}
for i = 3, #ARGV do
    local asked = ARGV[i]
    local data, lease = KEYS[2 * i - 4], KEYS[2 * i - 3]
    local drop = string.sub(asked, 26, 26) == '\1'
    local verdict, more = ask(data, lease, string.sub(asked, 1, 17), ms,
                              string.sub(asked, 18, 25), drop)
    if verdict == HELD then more = struct.pack('<I4', math.min(more, 4294967295)) end
    list[i - 2] = more or false
end
return answer(NONE, list)
