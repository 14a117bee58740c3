-- SPDX-License-Identifier: MIT
-- The server's time.

local time = redis.call('TIME')
now = time[1] * 1000 + math.floor(time[2] / 1000)
