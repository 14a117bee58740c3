-- SPDX-License-Identifier: MIT
-- The clock is there and whole, or is made anew: then what the log holds belongs to another one.
--
-- That of nodes with another number of groups is left alone: two kinds of nodes that each made it
-- anew would take it from each other for ever. They see its length, and stay in doubt.

local SLOTS_MIN = 2048
local SLOTS_MAX = 65536

-- A whole clock, with another number of groups (a power of two) than ours.
local function foreign(clk, len)
    local n = redis.pcall('STRLEN', clk)
    if type(n) ~= 'number' or n == len then return false end
    local slots = (n - 16) / 16
    return slots >= SLOTS_MIN and slots <= SLOTS_MAX and math.frexp(slots) == 0.5
end

local function ensure(clk, log, len, new_id)
    if redis.pcall('STRLEN', clk) == len or foreign(clk, len) then return end
    redis.call('DEL', clk, log)
    redis.call('SETRANGE', clk, len - 1, '\0')
    redis.call('SETRANGE', clk, 0, new_id)
end
