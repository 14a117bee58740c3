-- SPDX-License-Identifier: MIT
-- needs: common clock
--
-- The clock, made if it is not there, and what the log holds after a position.
--
-- KEYS  clk log nil
-- ARGV  new_id clk_len after limit bytes
--
-- Stops at `bytes`: a beat that cannot bring everything is not dense, and leads to a resync.

local clk, log = KEYS[1], KEYS[2]
local after, limit, left = ARGV[3], ARGV[4], tonumber(ARGV[5])

redis.call('DEL', KEYS[3]) -- a write: a master that has been demoted refuses it
ensure(clk, log, tonumber(ARGV[2]), ARGV[1])

local flat = {}
local entries = redis.pcall('XRANGE', log, '(' .. after .. '-0', '+', 'COUNT', limit)
for _, entry in ipairs(entries) do
    local id, frame = entry[1], entry[2][2]
    left = left - #frame
    if left < 0 then break end
    flat[#flat + 1] = string.match(id, '^%d+')
    flat[#flat + 1] = frame
end
return answer(clk, NONE, flat)
