-- SPDX-License-Identifier: MIT
-- needs: common envelope clock schemas wake
--
-- Store a loaded value, if the lease still holds the token and nothing newer is there.
--
-- KEYS  clk data lease
-- ARGV  number token version ms envelope channel head tail space schema register_ms schemas nonce
--
-- register_ms: our schema of the space is to be registered for so long (0: not), unless `schemas`
-- is the token of the list. The lease goes first: that is the DEL that lets the SET pass when
-- memory is full. A refused fill publishes too: whoever waits had better look at what is there.

local data, lease = KEYS[2], KEYS[3]
local token, ours, ms, envelope = unpack(ARGV, 2, 5)
local register_ms = tonumber(ARGV[11])

local held = bytes(lease, 0, 8)
if string.sub(held, 1, 8) ~= token then return answer(REFUSED) end
redis.call('DEL', lease)

local verdict, registered = REFUSED, 0
if (ours == ZERO or not above(version(data), ours)) and not ahead(envelope) then
    verdict = STORED
    if register_ms > 0 and head ~= '' and ARGV[12] ~= string.sub(head, 33, 40) then
        registered = register(ARGV[9], ARGV[10], register_ms, ARGV[13]) and register_ms or 0
        if registered == 0 then verdict = CROWDED end
    end
    if verdict == STORED then redis.call('SET', data, envelope, 'PX', ms) end
end
wake(held, ARGV[6], ARGV[7], ARGV[8])
return answer(verdict, nil, registered)
