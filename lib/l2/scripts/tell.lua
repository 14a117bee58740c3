-- SPDX-License-Identifier: MIT
-- needs:
--
-- A change that deletes, whatever is there: most invalidations. What change.lua does, with nothing
-- to be judged, and so in as few steps as there can be.
--
-- KEYS  clk log, then what is to be deleted: leases, data; where there is nothing, nil
-- ARGV  nonce front tail token channel slots, then the places in the clock that get its position
--
-- token: of the schemas as the caller names keys by them; if they are others, nothing is done but
-- telling them. It is random, so a clock that has it is the one that the caller knows: nothing more
-- is asked of it. front: of the frame, up to the replid.
--
-- The answer is one string, what the frame has behind the replid, id, position, nonce of the change
-- before, nonce, and how many heard it; the nonce is the call's number. The first write is a DEL,
-- which passes when memory is full. Id and nonce are taken as two numbers each, of which no string
-- has to be made.
--
-- The log is trimmed, and the mean of its frames taken, at each 32nd change and at large ones.

local call, keys, argv = redis.call, KEYS, ARGV
local clk, nonce = keys[1], argv[1]
local told = redis.pcall('GETRANGE', clk, '0', '39')
local id_low, id_high, seq, previous_low, previous_high, weight, token
if #told == 40 then
    id_low, id_high, seq, previous_low, previous_high, weight, token =
        struct.unpack('<I4I4I8I4I4I4xxxxc8', told)
end
if token ~= argv[4] then
    -- include: common
    -- include: clock
    -- include: schemas
    local slots = tonumber(argv[6])
    if foreign(slots) then return redis.error_reply('GROUPS another number of group slots') end
    if head ~= '' then return answer(MOVED, schemas()) end
    call('DEL', keys[3])
    ensure({keys[2]}, slots, nonce)
    id_low, id_high, seq, previous_low, previous_high, weight =
        struct.unpack('<I4I4I8I4I4I4', head)
end

call('DEL', unpack(keys, 3))
seq = seq + 1
if argv[7] then
    local packed = struct.pack('<I8', seq)
    for i = 7, #argv do call('SETRANGE', clk, argv[i], packed) end
end
local entry = string.format('%.0f-0', seq)
local stamp =
    struct.pack('<I4I4I8I4I4c8', id_low, id_high, seq, previous_low, previous_high, nonce)
local frame = argv[2] .. stamp .. argv[3]
if seq % 32 > 0 and #frame <= 1024 then
    call('SETRANGE', clk, '8', struct.pack('<I8c8', seq, nonce))
    if redis.pcall('XADD', keys[2], entry, 'f', frame) ~= entry then
        call('DEL', keys[2]) -- that of another clock, further on, or no stream at all
        call('XADD', keys[2], entry, 'f', frame)
    end
else
    -- include: log
    local logged = #frame <= FRAME_LOGGED_MAX and frame or ''
    local changes = #frame <= 1024 and 32 or 1
    weight = math.max(1, weight + changes * (#logged - math.floor(weight / 64)))
    call('SETRANGE', clk, '8', struct.pack('<I8c8I4', seq, nonce, weight))
    add_to_log(keys[2], log_limit(weight), seq, logged)
end
return struct.pack('<c32I4', stamp, tonumber(redis.pcall('PUBLISH', argv[5], frame)) or 0)
