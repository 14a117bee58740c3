// SPDX-License-Identifier: MIT
// Places: made, held, and left behind with the look-up of their names.

#include "l2/place.h"

#include <stdatomic.h>
#include <string.h>

static struct place *create(struct mem *mem, const char *host, uint16_t port)
{
    struct place *p = strlen(host) < URI_PLACE_MAX ? mem_alloc_zero(mem, sizeof(*p)) : NULL;
    if (!p)
        return NULL;
    atomic_init(&p->holders, 1);
    p->mem = mem;
    p->port = port;
    strcpy(p->host, host);
    uri_show(host, port, p->shown);
    return p;
}

struct place *place_create(struct mem *mem, const struct l2_net *net, const char *host,
                           uint16_t port, void (*wake)(void *arg), void *arg)
{
    struct place *p = create(mem, host, port);
    if (!p || !net->look_up || port == 0 || !lookup_is_name(host))
        return p;
    p->lookup = lookup_create(host, net->look_up, wake, arg);
    if (p->lookup)
        return p;
    place_drop(p);
    return NULL;
}

struct place *place_hold(struct place *p)
{
    atomic_fetch_add_explicit(&p->holders, 1, memory_order_relaxed);
    return p;
}

void place_drop(struct place *p)
{
    /* pair(l2.place): what any holder did is over when the last one frees it */
    if (!p || atomic_fetch_sub_explicit(&p->holders, 1, memory_order_acq_rel) != 1)
        return;
    lookup_leave(p->lookup);
    mem_free(p->mem, NULL, p, sizeof(*p));
}

int place_find(struct place *p, uint64_t now_ns, char address[L2_ADDRESS_BYTES],
               const char **ret_place)
{
    *ret_place = p->lookup ? address : p->host;
    return p->lookup ? lookup_address(p->lookup, now_ns, address) : 1;
}
