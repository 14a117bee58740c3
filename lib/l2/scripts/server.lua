-- SPDX-License-Identifier: MIT
-- Who the server is: INFO costs more than all else that a change does, so only the handshake, the
-- beat and the resync ask.

replid = string.match(redis.call('INFO', 'replication'), 'master_replid:(%x+)')
