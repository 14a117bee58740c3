// SPDX-License-Identifier: MIT
/*
 * The real environment: clock, park, randomness and log in one block of memory.
 *
 * A host's clock or log is put in afterwards (`env->clock->read = ...`) before any thread starts;
 * park and log follow the clock because they point at it.
 */
#include "base/base.h"

struct parts {
    struct clock clock;
    struct park park;
    struct random random;
    struct log log;
};

int env_init_real(struct env *env, bool own_threads)
{
    int rc = rcu_install();
    if (rc < 0)
        return rc;
    clock_find_direct();
    struct mem *mem = mem_create();
    if (!mem)
        return NIGH_ENOMEM;
    struct parts *p = mem_alloc_zero(mem, sizeof(*p));
    if (!p)
        goto undo_mem;

    p->park = park_futex;
    p->park.arg = &p->clock;
    p->log.clock = &p->clock;
    random_init(&p->random, 0);
    *env = (struct env){&p->clock, &p->park, &p->random, mem, &p->log, own_threads};
    return 0;

undo_mem:
    mem_destroy(mem);
    return NIGH_ENOMEM;
}

void env_fini(struct env *env)
{
    log_close(env->log);
    struct mem *mem = env->mem;
    mem_free(mem, NULL, CONTAINER_OF(env->clock, struct parts, clock), sizeof(struct parts));
    mem_destroy(mem);
    *env = (struct env){0};
}
