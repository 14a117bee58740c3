-- SPDX-License-Identifier: MIT
-- needs: common time envelope log clock schemas
--
-- A change of the truth: values and leases, then the clock and the groups that got its position,
-- then the log and the channel. Everything is read and judged before anything is written. (Changes
-- that only delete, whatever is there, go by tell.lua.)
--
-- KEYS  clk log nil, then per key: lease, its data in each schema, ours first;
--       with old nodes (change_old.lua): `log` is the one aside, their lease and data are behind
--       those of each key, their clk and log behind all
-- ARGV  number nonce token channel front tail slots keys old_channel space schema register_ms
--       schemas,
--       then per key: mode version token ms envelope schemas,
--       then per group: 2 x its slot, + 1 if soft
--
-- `more` of the answer: the nonce of the change before, how many heard the change, then a byte for
-- each key, its verdict.
--
-- token: of the schemas as the caller names keys by them; if they are others, nothing is done but
-- telling them. old_channel: '' when the caller knows of no old nodes. register_ms: if a value is
-- set, our schema of the space is to be registered for so long (0: not), unless `schemas` is the
-- token of the list. All values of a change are of one space.

-- modes
local DELETE = 0    -- if the stored version is 0 or below ours, or ours is 0
local SET_TOKEN = 1 -- set if the lease holds the token, else delete
local SET_NEWER = 2 -- set if the stored version is 0 or below ours; else as DELETE
local SET = 3       -- set
local REPLACE = 4   -- set if the stored version is 0 or below ours, else delete: none stays

local FIXED = 13      -- arguments before those of keys
local PER_KEY = 6
local DEL_MAX = 4000  -- names in one DEL: Lua's unpack() takes less than 8000

local log, nothing = KEYS[2], KEYS[3]
local nonce, token, channel, front, tail = unpack(ARGV, 2, 6)
local slots, keys, old_channel = tonumber(ARGV[7]), tonumber(ARGV[8]), ARGV[9]
local old = old_channel ~= ''

if foreign(slots) then
    return redis.error_reply('GROUPS another number of group slots')
end
if head ~= '' and string.sub(head, 33, 40) ~= token then return answer(MOVED, schemas()) end

-- The version of the value named KEYS[i], read once. version_of: version() or old_version().
local versions = {}
local function stored(i, version_of)
    versions[i] = versions[i] or version_of(KEYS[i])
    return versions[i]
end

-- Whether that value stays when ours is told: it is at least as new.
local function stays(i, version_of, ours)
    if ours == ZERO then return false end
    local its = stored(i, version_of)
    return its ~= ZERO and not above(ours, its)
end

-- 'set', 'delete' or 'spare' our schema's value, all of which drop the lease; 'refuse' to set it:
-- what is older than the refused value goes all the same, and all of REPLACE.
local function judge(mode, first, last, lease, ours, lease_token)
    if mode == SET then return 'set' end
    if mode == SET_TOKEN then return bytes(lease, 0, 7) == lease_token and 'set' or 'delete' end
    if mode == DELETE then return stays(first, version, ours) and 'spare' or 'delete' end
    if stays(first, version, ours) then return 'refuse' end
    for i = first + 1, last do
        if above(stored(i, version), ours) then return 'refuse' end
    end
    for i = last + 2, old and 2 * last - first + 2 or 0 do
        if above(stored(i, old_version), ours) then return 'refuse' end
    end
    return 'set'
end

local gone, sets, verdict, verdicts, at = {nothing}, {}, NONE, {}, 4
for i = 1, keys do
    local first_arg = FIXED + PER_KEY * (i - 1)
    local mode, ours, lease_token, ms, envelope, count = unpack(ARGV, first_arg + 1, first_arg + 6)
    mode, count = tonumber(mode), tonumber(count)
    local lease, first, last = KEYS[at], at + 1, at + count
    local what = judge(mode, first, last, lease, ours, lease_token)
    verdicts[i] = NONE
    local clears = mode == SET or mode == REPLACE
    if what == 'refuse' then
        what, verdict = not clears and stays(first, version, ours) and 'spare' or 'delete', REFUSED
        verdicts[i] = REFUSED
    end
    if what == 'set' and ahead(envelope) then what = 'delete' end
    gone[#gone + 1] = lease
    if what == 'delete' then gone[#gone + 1] = KEYS[first] end
    if what == 'set' then sets[#sets + 1] = {KEYS[first], envelope, ms, i} end
    for j = first + 1, last do
        if clears or not stays(j, version, ours) then gone[#gone + 1] = KEYS[j] end
    end
    at = last + 1
    if old then
        gone[#gone + 1] = KEYS[at]
        for j = at + 1, at + count do
            if clears or not stays(j, old_version, ours) then gone[#gone + 1] = KEYS[j] end
        end
        at = at + count + 1
    end
end

-- `nothing` never exists; deleting it makes this a write, whatever else there is to delete.
for i = 1, #gone, DEL_MAX do
    redis.call('DEL', unpack(gone, i, math.min(i + DEL_MAX - 1, #gone)))
end

ensure({log}, slots, nonce)
local register_ms, registered = tonumber(ARGV[12]), 0
local asked = register_ms > 0 and ARGV[13] ~= string.sub(head, 33, 40)
if #sets > 0 and asked then
    registered = register(ARGV[10], ARGV[11], register_ms, nonce) and register_ms or 0
end
for _, s in ipairs(sets) do
    if not asked or registered > 0 then
        redis.call('SET', s[1], s[2], 'PX', s[3])
        verdict = STORED
    else
        redis.call('DEL', s[1]) -- one schema too many
        verdict = CROWDED
    end
    verdicts[s[4]] = verdict
end
for i = 1, keys do verdicts[i] = string.char(verdicts[i]) end

local groups = {}
for i = FIXED + PER_KEY * keys + 1, #ARGV do groups[#groups + 1] = tonumber(ARGV[i]) end
local previous = string.sub(head, 17, 24)
if old then tell_old(KEYS[#KEYS - 1], KEYS[#KEYS], old_channel, slots, groups, front, tail) end
local heard = struct.pack('<I4', append(log, channel, nonce, front, tail, slots, groups))
return answer(verdict, previous .. heard .. table.concat(verdicts), registered)
