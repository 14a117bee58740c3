-- SPDX-License-Identifier: MIT
-- Nodes of wire version 1 on the same prefix, while an upgrade rolls. (clock.lua comes before
-- this.) They know nothing of this clock, so what happens here is written into theirs as well; and
-- what they do is known here only by their clock having moved: nothing is fresh then until it has
-- been quiet for a while.
--
-- Their names are in KEYS only when the clock says that they are there; when that changes so does
-- the token of the schemas, and a change that has named too little is sent once more. Their clock
-- gets a time to live: if they live they make it anew, else it is gone. While they are there the
-- log is theirs, and ours lies aside.

local OLD_AT = 41              -- in the head
local OLD_MOVED_AT = 57
local OLD_QUIET_MS = 3000
local OLD_DAY_MS = 86400000
local OLD_NOTHING = ZERO .. ZERO
local OLD_HEAD = 'nf\1\0'
local OLD_ENVELOPE_BYTES = 88  -- of the header
local SOFT_ALL = struct.pack('<I8I8I4I4I4I8', 0, 0, 1, 260, 0, 0) -- a tail: kind 4, flags 1
local SOFT_ALL_GROUP = 1

local function old_seen()
    return string.sub(head, OLD_AT, OLD_AT + 15)
end

local function old_now(old_clk)
    local there = bytes(old_clk, 0, 15)
    return #there == 16 and there or OLD_NOTHING
end

-- Of a value of theirs, as version() of ours.
local function old_version(key)
    local header = bytes(key, 0, OLD_ENVELOPE_BYTES - 1)
    if #header < OLD_ENVELOPE_BYTES or string.sub(header, 1, 5) ~= 'NIGH\1' then return ZERO end
    return string.sub(header, 41, 48)
end

local function old_moved()
    set_head(OLD_MOVED_AT, struct.pack('<I8', now))
end

-- The same change in the order of the old nodes. Call id 0 marks it as ours, in the frame.
local function tell_old(old_clk, old_log, old_channel, slots, groups, front, tail)
    local there = old_now(old_clk)
    if there == OLD_NOTHING then return end -- the next beat will see it
    if there ~= old_seen() then old_moved() end
    if readable(redis.pcall('STRLEN', old_clk)) ~= 16 + 16 * slots then
        redis.call('DEL', old_clk, old_log) -- other groups: all that they have turns stale
        return
    end
    local seq = struct.unpack('<I8', there, 9) + 1
    local packed, id = struct.pack('<I8', seq), string.sub(there, 1, 8)
    redis.call('SETRANGE', old_clk, 8, packed)
    for _, group in ipairs(groups) do redis.call('SETRANGE', old_clk, 16 + 8 * group, packed) end
    local frame = OLD_HEAD .. string.sub(front, 5) .. id .. packed .. string.sub(tail, 1, 8) ..
        ZERO .. string.sub(tail, 17)
    add_to_log(old_log, LOG_MAX, seq, frame)
    redis.pcall('PUBLISH', old_channel, frame)
    set_head(OLD_AT, id .. packed)
end

-- They are gone. What they have logged is nothing to us, and would be taken for a trail that is
-- lost as long as it is further on than we are; ours goes back into its place.
local function take_log_back(k)
    redis.call('DEL', k.log)
    if redis.call('EXISTS', k.aside) == 1 then redis.call('RENAME', k.aside, k.log) end
end

-- A beat's look at their clock. What they did before they were seen is unknown: it counts as moved.
local function watch_old(k, channel, old_channel, nonce, front, slots)
    local there, seen = old_now(k.old_clk), old_seen()
    local moved = struct.unpack('<I8', head, OLD_MOVED_AT)
    if there == OLD_NOTHING and seen == OLD_NOTHING and moved == 0 then return end
    if there ~= seen then
        set_head(OLD_AT, there)
        old_moved()
        if there == OLD_NOTHING or seen == OLD_NOTHING then set_head(33, nonce) end
        if there == OLD_NOTHING then take_log_back(k) end
        if seen == OLD_NOTHING then
            tell_old(k.old_clk, k.log, old_channel, slots, {SOFT_ALL_GROUP}, front,
                     SOFT_ALL)
        end
        put_head(9, TOLD_BYTES)
    elseif moved > 0 and (now - moved > OLD_QUIET_MS or now < moved) then
        set_head(OLD_MOVED_AT, ZERO)
        append(seen == OLD_NOTHING and k.log or k.aside, channel, nonce, front, SOFT_ALL,
               slots, {SOFT_ALL_GROUP})
    end
    if there ~= OLD_NOTHING then redis.call('PEXPIRE', k.old_clk, OLD_DAY_MS, 'NX') end
end

-- Trust counts from a resync, too. What they did since a beat looked is known by the next one in
-- full; that they did something is known at once.
local function glance_at_old(old_clk)
    if old_now(old_clk) == old_seen() then return end
    old_moved()
    put_head(OLD_MOVED_AT, OLD_MOVED_AT + 7)
end
