-- SPDX-License-Identifier: MIT
-- Wake who waits for a lease that has just gone: they ask again.

-- `a` is the script's answer, `held` the lease as it was: a token, then whether it is awaited.
local function wake(a, held, channel, head, tail)
    if string.sub(held, 9, 9) ~= '\1' then return end
    local id = a[2] == '' and ZERO or a[2]
    redis.call('PUBLISH', channel, head .. replid .. id .. ZERO .. tail)
end
