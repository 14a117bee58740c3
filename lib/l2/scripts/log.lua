-- SPDX-License-Identifier: MIT
-- The log: the last frames, about so many bytes of them.

local LOG_MAX = 16384         -- frames kept, at least: Redis trims whole nodes of the stream
local LOG_MIN = 256
local LOG_BYTES = 8388608     -- ... and about so many bytes
local FRAME_LOGGED_MAX = 65536 -- a larger one is logged as lost: who has missed it reads the clock

local function log_limit(weight)
    return math.max(LOG_MIN, math.min(LOG_MAX, math.floor(LOG_BYTES * 64 / weight)))
end

local function add_to_log(log, limit, seq, frame)
    local id = string.format('%.0f-0', seq)
    local entry = {'XADD', log, 'MAXLEN', '~', limit, id, 'f', frame}
    local added = redis.pcall(unpack(entry))
    if type(added) == 'table' and added.err then
        -- It is that of another clock, further on, or no stream at all.
        redis.call('DEL', log)
        redis.call(unpack(entry))
    end
end
