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
-- to be. rest: what is seldom wanted, packed: see filling.lua.
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
local known, rest = ARGV[4], ARGV[5]
-- include: filling

local verdict = fill(data, lease, ms, envelope)
wake_all()
return answer(verdict, nil, registered)
