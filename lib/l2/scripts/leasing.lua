-- SPDX-License-Identifier: MIT
-- One key's lease, where all has to be looked at: lease.lua says what its arguments mean.

local TIMES_ABOVE = 1099511627776 -- ms: no lease has so many, and no server a time before that

-- Whether a lease has more time left than it was given.
local function outlives(held, left)
    if #held ~= 17 then return false end
    local given = struct.unpack('<I8', held, 10)
    if given < TIMES_ABOVE then return left > given + AHEAD_MAX_MS end
    -- include: time
    return given > now + AHEAD_MAX_MS
end

-- Take the lease if nobody has it. Else how many ms it has left.
local function take(lease, text, ms)
    if redis.call('SET', lease, text, 'PX', ms, 'NX') then return nil end
    local left, held = redis.call('PTTL', lease), bytes(lease, 0, 16)
    if left < 0 or outlives(held, left) then
        -- A lease without a TTL is none of ours: nobody would ever give it back.
        -- Who waits for it does so still.
        local waits = string.sub(held, 9, 9) == '\1'
        if waits then text = string.sub(text, 1, 8) .. '\1' .. string.sub(text, 10) end
        redis.call('SET', lease, text, 'PX', ms)
        return nil
    end
    if string.sub(held, 1, 8) == string.sub(text, 1, 8) then -- asked again: the reply was lost
        return nil
    end
    redis.pcall('SETRANGE', lease, 8, '\1')
    return left
end

-- A verdict, and what belongs to it: the envelope; the ms left; '' if what is there is none.
local function ask(data, lease, text, ms, rejected, drop)
    local there = readable(redis.pcall('GETRANGE', data, 0, HEADER_BYTES - 1)) ~= ''
    local id = there and fill_id(data) or ''
    if id ~= '' and id ~= ZERO and id ~= rejected then return VALUE, redis.call('GET', data) end
    local left = take(lease, text, ms)
    if left then return HELD, left end
    if drop then redis.call('DEL', data) end
    return GRANTED, there and id == '' and ''
end
