-- SPDX-License-Identifier: MIT
-- needs:
--
-- Store a loaded value, if the lease still holds the token and nothing newer is there.
--
-- KEYS  clk data lease
-- ARGV  number ms envelope schemas rest
--
-- envelope: its fill id is the token, its version ours.
-- schemas: the token of the list in which our schema is registered for long enough; '': it is not
-- to be. rest: what is seldom wanted, packed: for how many ms to register it, five lengths, the
-- token that the list gets if it becomes another, and the five: channel, front and tail of the
-- frame, space, schema.
--
-- The lease goes first: that is the DEL that lets the SET pass when memory is full. A refused fill
-- publishes too: whoever waits had better look at what is there.
--
-- Where nobody waits, there is no version, and the schema is known the answer is one string:
-- number, verdict, the beginning of the clock.

local data, lease, ms, envelope = KEYS[2], KEYS[3], ARGV[2], ARGV[3]
local token, ours, filled = struct.unpack('<c8c8I8', envelope, 33)
local held = redis.pcall('GETRANGE', lease, '0', '8')
if ours == '\0\0\0\0\0\0\0\0' and held == token .. '\0' then
    local told = redis.pcall('GETRANGE', KEYS[1], '0', '39')
    if #told == 40 and string.sub(told, 33) == ARGV[4] and
        filled < redis.call('TIME')[1] * 1000 + 2000 then
        redis.call('DEL', lease)
        redis.call('SET', data, envelope, 'PX', ms)
        return ARGV[1] .. '\4' .. told
    end
end

-- include: common
-- include: time
-- include: envelope
-- include: clock
-- include: schemas
-- include: wake

local register_ms, channel_len, front_len, tail_len, space_len, schema_len, new_token, at =
    struct.unpack('<I4I4I4I4I4I4c8', ARGV[5])

local function next_bytes(len)
    at = at + len
    return string.sub(ARGV[5], at - len, at - 1)
end

local channel, front, tail = next_bytes(channel_len), next_bytes(front_len), next_bytes(tail_len)
local space, schema = next_bytes(space_len), next_bytes(schema_len)

held = bytes(lease, 0, 8)
if string.sub(held, 1, 8) ~= token then return answer(REFUSED) end
redis.call('DEL', lease)

local verdict, registered = REFUSED, 0
if (ours == ZERO or not above(version(data), ours)) and not ahead(envelope) then
    verdict = STORED
    if register_ms > 0 and head ~= '' and ARGV[4] ~= string.sub(head, 33, 40) then
        registered = register(space, schema, register_ms, new_token) and register_ms or 0
        if registered == 0 then verdict = CROWDED end
    end
    if verdict == STORED then redis.call('SET', data, envelope, 'PX', ms) end
end
wake(held, channel, front, tail)
return answer(verdict, nil, registered)
