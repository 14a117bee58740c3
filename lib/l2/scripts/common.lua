-- SPDX-License-Identifier: MIT
-- What most scripts begin with: the clock, and the form of answers. (Those that run for each miss
-- and each change do without until something is not as usual: lease, fill and tell.)
--
-- KEYS[1] is the clock and ARGV[1] the call's number, in every script. The answer is
--
--     {number, replid, head, time in ms, verdict, more, registered}
--
-- The number comes first so that an answer which belongs to another call is known by it. `head` is
-- what nodes read of the clock (below), in the same atomic step as what was asked, or '' when there
-- is no clock; it travels as raw bytes, so nothing passes through Lua's doubles on its way out.
-- Replid and time are told by scripts that ask for them (server.lua, time.lua), else false and 0.
--
-- Full memory: Redis refuses a script's first write if it may need memory, and lets the rest pass
-- once a script has written. So scripts that must run then begin with a DEL.
--
-- A key of a foreign type answers pcall with an error, read as "nothing there"; SET and DEL then
-- replace it.

-- verdicts
local NONE = 0
local VALUE = 1
local GRANTED = 2
local HELD = 3
local STORED = 4
local REFUSED = 5
local MOVED = 6
local CROWDED = 7

local HEAD_BYTES = 128 -- of the clock: all but its positions
local TOLD_BYTES = 64  -- ... of which every answer tells the first

local ZERO = string.rep('\0', 8)
local replid, now = false, 0
local clk = KEYS[1]

-- A key of another type is as good as none. Any other error ends the script: a user who may not
-- read it would else take the clock for lost, and make it anew while all others follow it.
local function readable(reply)
    local err = type(reply) == 'table' and reply.err
    if err and not string.find(err, 'WRONGTYPE', 1, true) then
        error((string.gsub(err, '^ERR ', '')), 0)
    end
    return reply
end

local function bytes(key, from, to)
    local s = readable(redis.pcall('GETRANGE', key, from, to))
    return type(s) == 'string' and s or ''
end

-- The head, or '' of what is no clock of this wire version. Whoever changes the clock changes both.
local head = bytes(clk, 0, HEAD_BYTES - 1)
if #head < HEAD_BYTES or string.sub(head, 73, 76) ~= 'NIG2' then head = '' end

local function answer(verdict, more, registered)
    return {ARGV[1], replid, string.sub(head, 1, TOLD_BYTES), now, verdict, more or false,
            registered or 0}
end
