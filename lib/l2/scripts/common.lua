-- SPDX-License-Identifier: MIT
-- What every script begins with: who the server is, its time, and the form of all answers.
--
-- Every script answers {replid, id, seq, time in ms, verdict, more}: who the server is and where
-- its clock stands, in the same atomic step as what was asked. id and seq travel as the 8 raw
-- bytes of the clock, '' when there is no clock, so nothing passes through Lua's doubles on its
-- way out.
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

local ZERO = string.rep('\0', 8)
local replid = string.match(redis.call('INFO', 'replication'), 'master_replid:(%x+)')
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)

local function bytes(key, from, to)
    local s = redis.pcall('GETRANGE', key, from, to)
    return type(s) == 'string' and s or ''
end

local function answer(clk, verdict, more)
    local head = bytes(clk, 0, 15)
    return {replid, string.sub(head, 1, 8), string.sub(head, 9, 16), now, verdict, more}
end
