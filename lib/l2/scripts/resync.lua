-- SPDX-License-Identifier: MIT
-- needs: common server time log clock schemas old
--
-- The clock, made if it is not there, its schemas, and the positions of groups.
--
-- KEYS  clk log nil log_aside old_clk
-- ARGV  number nonce slots replid id after renew renew_replid
--
-- Of the positions only pages with one above `after`, if replid and id are still those that the
-- caller followed up to there; else above 0. (All of them are 1 MiB; most are 0.)
-- renew: the clock with this id, on the server with this replid, has been met again, or was
-- rewound: what is stamped with it must not be taken for fresh by anybody. It gets a new id, unless
-- it has one already: so of many nodes that ask for it one makes it.

-- A guest may ask for it, who tells 0 slots: he has followed that clock, and so has its number.

local slots = tonumber(ARGV[3])

redis.call('DEL', KEYS[3]) -- a write: a master that has been demoted refuses it
ensure({KEYS[2], KEYS[4]}, slots, ARGV[2])
local fits = slots == 0 or not foreign(slots)
if ARGV[7] == string.sub(head, 1, 8) and ARGV[8] == replid and fits then
    redis.call('DEL', KEYS[2], KEYS[4])
    set_head(1, ARGV[2])
    set_head(17, ARGV[2])
    put_head(1, 24)
end
if not foreign(slots) then glance_at_old(KEYS[5]) end

local same = ARGV[4] == replid and ARGV[5] == string.sub(head, 1, 8)
local after = same and tonumber(ARGV[6]) or 0
local there = struct.unpack('<I4', head, 65)
local page_bytes = 16 * there / PAGES
local pages = bytes(clk, PAGES_AT, PAGES_AT + 8 * PAGES - 1)
local more = {schemas(), there, same and 1 or 0}
for page = 0, PAGES - 1 do
    if struct.unpack('<I8', pages, 8 * page + 1) > after then
        local from = GROUPS_AT + page * page_bytes
        more[#more + 1] = tostring(page)
        more[#more + 1] = bytes(clk, from, from + page_bytes - 1)
    end
end
return answer(VALUE, more)
