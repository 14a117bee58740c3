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
-- The answer is one string: the nonce, which is the call's number, and the beginning of the clock
-- as it was before. The first write is a DEL, which passes when memory is full.
--
-- The log is trimmed, and the mean of its frames taken, at each 32nd change and at large ones.

local call, keys, argv = redis.call, KEYS, ARGV
local clk, nonce = keys[1], argv[1]
local told = redis.pcall('GETRANGE', clk, '0', '39')
if #told < 40 or string.sub(told, 33) ~= argv[4] then
    -- include: common
    -- include: clock
    -- include: schemas
    local slots = tonumber(argv[6])
    if foreign(slots) then return redis.error_reply('GROUPS another number of group slots') end
    if head ~= '' then return answer(MOVED, schemas()) end
    call('DEL', keys[3])
    ensure({keys[2]}, slots, nonce)
    told = string.sub(head, 1, 40)
end

call('DEL', unpack(keys, 3))
local id, seq, previous = struct.unpack('<c8I8c8', told)
seq = seq + 1
local packed = struct.pack('<I8', seq)
for i = 7, #argv do call('SETRANGE', clk, argv[i], packed) end
local entry = string.format('%d-0', seq)
local frame = argv[2] .. id .. packed .. previous .. nonce .. argv[3]
if seq % 32 > 0 and #frame <= 1024 then
    call('SETRANGE', clk, '8', packed .. nonce)
    if redis.pcall('XADD', keys[2], entry, 'f', frame) ~= entry then
        call('DEL', keys[2]) -- that of another clock, further on, or no stream at all
        call('XADD', keys[2], entry, 'f', frame)
    end
else
    -- include: log
    local logged = #frame <= FRAME_LOGGED_MAX and frame or ''
    local weight = struct.unpack('<I4', told, 25)
    local changes = #frame <= 1024 and 32 or 1
    weight = math.max(1, weight + changes * (#logged - math.floor(weight / 64)))
    call('SETRANGE', clk, '8', packed .. nonce .. struct.pack('<I4', weight))
    add_to_log(keys[2], log_limit(weight), seq, logged)
end
call('PUBLISH', argv[5], frame)
return nonce .. told
