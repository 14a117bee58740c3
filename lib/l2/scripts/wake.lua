-- SPDX-License-Identifier: MIT
-- Wake who waits for a lease that has just gone: they ask again.

-- `held` is the lease as it was: a token, then whether it is awaited.
local function wake(held, channel, front, tail)
    if string.sub(held, 9, 9) ~= '\1' then return end
    local id = head == '' and ZERO or string.sub(head, 1, 8)
    redis.pcall('PUBLISH', channel, front .. id .. string.rep(ZERO, 3) .. tail)
end
