-- SPDX-License-Identifier: MIT
-- needs: common server time log clock old
--
-- The clock, made if it is not there, and what the log holds after a position.
--
-- KEYS  clk log nil old_clk log_aside
-- ARGV  number nonce slots after limit bytes channel head old_channel
--
-- Stops at `bytes`: a beat that cannot bring everything is not dense, and leads to a resync.
--
-- A guest makes no clock, but rouses the nodes that have not noticed yet that theirs is gone (all
-- of Redis was deleted, say): a frame of a clock that nobody follows wants a beat of whoever hears
-- it. How many heard it is told in words, for there is no answer without a clock. Nodes of wire
-- version 1 hear nothing of it: where their clock is they may be there, and how many is not known.

local after, left, slots = ARGV[4], tonumber(ARGV[6]), tonumber(ARGV[3])

redis.call('DEL', KEYS[3]) -- a write: a master that has been demoted refuses it
if head == '' and slots == 0 then
    if old_now(KEYS[4]) ~= OLD_NOTHING then
        error('NOCLOCK only nodes of wire version 1 use this prefix', 0)
    end
    local one = struct.pack('<I8', 1)
    local frame = ARGV[8] .. replid .. ZERO .. one .. ZERO .. ARGV[2] .. SOFT_ALL
    local heard = redis.pcall('PUBLISH', ARGV[7], frame)
    error('NOCLOCK no node uses this prefix: ' .. (tonumber(heard) or 0) .. ' listen', 0)
end
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
