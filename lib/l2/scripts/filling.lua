-- SPDX-License-Identifier: MIT
-- One key's fill, where all has to be looked at: fill.lua says what its arguments mean.
--
-- Whoever includes this has `known`, the token of the list of schemas, and `rest`: for how many ms
-- to register the schema, five lengths, the token that the list gets if it becomes another, and the
-- five: channel, front and tail of the frame, space, schema.
--
-- The lease goes first: that is the DEL that lets the SET pass when memory is full. A refused fill
-- wakes too: whoever waits had better look at what is there.

local register_ms, channel_len, front_len, tail_len, space_len, schema_len, new_token, at =
    struct.unpack('<I4I4I4I4I4I4c8', rest)

local function next_bytes(len)
    at = at + len
    return string.sub(rest, at - len, at - 1)
end

local channel, front, tail = next_bytes(channel_len), next_bytes(front_len), next_bytes(tail_len)
local space, schema = next_bytes(space_len), next_bytes(schema_len)
local registered, awaited = 0, ''

-- Whether a value of our schema may be stored.
local function admitted()
    local asked = register_ms > 0 and head ~= '' and known ~= string.sub(head, 33, 40)
    if not asked or registered > 0 then return true end
    registered = register(space, schema, register_ms, new_token) and register_ms or 0
    return registered > 0
end

local function fill(data, lease, ms, envelope)
    local token, ours = struct.unpack('<c8c8', envelope, 33)
    local held = bytes(lease, 0, 8)
    if string.sub(held, 1, 8) ~= token then return REFUSED end
    redis.call('DEL', lease)
    if string.sub(held, 9, 9) == '\1' then awaited = held end
    if ours ~= ZERO and above(version(data), ours) or ahead(envelope) then return REFUSED end
    if not admitted() then return CROWDED end
    redis.call('SET', data, envelope, 'PX', ms)
    return STORED
end

local function wake_all()
    wake(awaited, channel, front, tail)
end
