-- SPDX-License-Identifier: MIT
-- The clock: the order of all changes, and what else must be lost only together with it.
--
--      0  id                8  position of the last change    16  its nonce
--     24  u32 64 x mean bytes of a logged frame               28  u32 0
--     32  token of the schemas: drawn anew when their list changes
--     40  id, position of the clock of nodes of wire version 1, as last seen; 0: there are none
--     56  u64 ms at which that one last moved; 0: it is quiet
--     64  u32 group slots  68  u32 bytes of the schemas       72  "NIG2"     76 .. 127  0
--    128  64 pages: the highest position in each 64th of the groups
--    640  groups: {hard, soft} positions                 then the schemas
--
-- The nonce is drawn by whoever makes the change, and travels in its frame beside the one before
-- it: the changes are a chain, so that a history which is not the one a node has followed is
-- known even where it has grown as long (an older copy was loaded in place).
--
-- The clock of nodes with another number of groups is left alone: two kinds of nodes that each made
-- it anew would take it from each other for ever. They see it, and stay in doubt.

local PAGES = 64
local PAGES_AT = 128
local GROUPS_AT = 640
local SLOTS_MIN = 2048
local SLOTS_MAX = 65536

local function foreign(slots)
    return head ~= '' and struct.unpack('<I4', head, 65) ~= slots
end

local function put_head(from, to)
    redis.call('SETRANGE', clk, from - 1, string.sub(head, from, to))
end

-- Put `text` into the head at `from` (1 is the first byte); it is written by put_head().
local function set_head(from, text)
    head = string.sub(head, 1, from - 1) .. text .. string.sub(head, from + #text)
end

-- Make the clock if there is none; what a log holds belongs to another one then. A guest, who tells
-- 0 slots, makes none: the number would not be that of the nodes, nor may what only looks leave
-- anything behind.
local function ensure(logs, slots, new_id)
    if head ~= '' then return end
    if slots == 0 then error('NOCLOCK no node uses this prefix', 0) end
    head = new_id .. ZERO .. new_id .. ZERO .. new_id .. string.rep(ZERO, 3) ..
        struct.pack('<I4I4', slots, 0) .. 'NIG2' .. string.rep('\0', HEAD_BYTES - 76)
    redis.call('DEL', clk, unpack(logs))
    redis.call('SETRANGE', clk, GROUPS_AT + 16 * slots - 1, '\0')
    put_head(1, HEAD_BYTES)
end

-- One more change: its position and nonce into the clock, its frame into the log and the channel.
-- groups: numbers 2 x slot, + 1 if soft. front: of the frame, up to the replid. For most changes
-- tell.lua does the same. Returns how many heard it: 0 where the user may not publish, for the log
-- has it, and beats bring it (or that there was one, too large for the log).
--
-- Counted in a double: exact below 2^53, which is 285 years at a million changes a second.
local function append(log, channel, nonce, front, tail, slots, groups)
    local seq = struct.unpack('<I8', head, 9) + 1
    local packed, pages = struct.pack('<I8', seq), {}
    for _, group in ipairs(groups) do
        local page = math.floor(group / 2 / (slots / PAGES))
        redis.call('SETRANGE', clk, GROUPS_AT + 8 * group, packed)
        if not pages[page] then redis.call('SETRANGE', clk, PAGES_AT + 8 * page, packed) end
        pages[page] = true
    end

    local frame = front .. string.sub(head, 1, 8) .. packed ..
        string.sub(head, 17, 24) .. nonce .. tail
    local logged = #frame <= FRAME_LOGGED_MAX and frame or ''
    local weight = struct.unpack('<I4', head, 25)
    weight = math.max(1, weight + #logged - math.floor(weight / 64))
    set_head(9, packed .. nonce .. struct.pack('<I4', weight))
    put_head(9, TOLD_BYTES)
    add_to_log(log, log_limit(weight), seq, logged)
    return tonumber(redis.pcall('PUBLISH', channel, frame)) or 0
end
