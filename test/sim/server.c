// SPDX-License-Identifier: MIT
// The two servers: their clocks and their names.

#include "sim/server.h"

#define WALL_START_MS 1700000000000ull

struct server servers[SERVERS];

uint64_t server_wall_ms(const struct server *s)
{
    return WALL_START_MS + world_now() / SIM_MS + s->wall_offset_ms;
}

void server_new_replid(struct server *s)
{
    static const char digits[] = "0123456789abcdef";
    for (int i = 0; i < REPLID_LEN; i++)
        s->replid[i] = digits[chance_below(&s->chance, 16)];
    s->replid[REPLID_LEN] = 0;
}

void servers_init(uint64_t seed)
{
    for (int i = 0; i < SERVERS; i++) {
        servers[i] = (struct server){.index = i};
        servers[i].chance.state = chance_mix(seed, 3 + (uint64_t)i);
        server_new_replid(&servers[i]);
    }
}

void servers_fini(void)
{
    for (int i = 0; i < SERVERS; i++)
        store_clear(&servers[i].store);
}
