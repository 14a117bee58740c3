-- SPDX-License-Identifier: MIT
-- needs: common server time log clock old
--
-- The clock, made if it is not there, and what the log holds after a position.
--
-- KEYS  clk log nil old_clk log_aside
-- ARGV  number nonce slots after limit bytes channel head old_channel
--
-- Stops at `bytes`: a beat that cannot bring everything is not dense, and leads to a resync.

local after, left, slots = ARGV[4], tonumber(ARGV[6]), tonumber(ARGV[3])

redis.call('DEL', KEYS[3]) -- a write: a master that has been demoted refuses it
ensure({KEYS[2], KEYS[5]}, slots, ARGV[2])
if not foreign(slots) then
    local k = {log = KEYS[2], old_clk = KEYS[4], aside = KEYS[5]}
    watch_old(k, ARGV[7], ARGV[9], ARGV[2], ARGV[8] .. replid, slots)
end
local log = old_seen() == OLD_NOTHING and KEYS[2] or KEYS[5]

local flat = {}
local entries = readable(redis.pcall('XRANGE', log, '(' .. after .. '-0', '+', 'COUNT', ARGV[5]))
for _, entry in ipairs(entries) do
    local id, frame = entry[1], entry[2][2]
    left = left - #frame
    if left < 0 then break end
    flat[#flat + 1] = string.match(id, '^%d+')
    flat[#flat + 1] = frame
end
return answer(NONE, flat)
