// SPDX-License-Identifier: MIT
/*
 * One thread, and the turns of the cache's own threads taken between operations, so that what is
 * counted does not depend on who ran when. From run to run it moves by 1 or 2 % all the same: keys
 * are hashed with a seed of the process.
 */
#include "instructions/loops.h"

#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <nigh/nigh.h>

#include "support/fail.h"

#define VALUE_BYTES 100
#define KEY_MAX 32
#define TICK_EVERY 64 /* operations */

static struct {
    struct nigh *cache;
    struct nigh_space *space;
    enum loop_keys keys;
    char value[VALUE_BYTES];
} loop;

static int load(void *arg, struct nigh_fill *const fills[], size_t n)
{
    (void)arg, (void)n;
    return nigh_fill_value(fills[0], loop.value, VALUE_BYTES);
}

static size_t name_key(char key[KEY_MAX], unsigned long number)
{
    uint64_t words[2] = {number, (number + 1) * UINT64_C(0x9e3779b97f4a7c15)};
    memset(key, 'k', KEY_MAX);
    memcpy(key, words, sizeof(words));
    return loop.keys == KEYS_5 ? 5 : loop.keys == KEYS_24 ? 24 : 17 + (words[1] >> 60);
}

static int fetch(unsigned long number, const struct nigh_call *call)
{
    char key[KEY_MAX];
    struct nigh_value value = NIGH_VALUE_INIT;
    int rc = nigh_fetch(loop.space, key, name_key(key, number), call, &value);
    nigh_release(&value);
    return rc == NIGH_FRESH;
}

static int fetch_with(unsigned long number, unsigned flags)
{
    struct nigh_call call = NIGH_CALL_INIT;
    call.flags = flags;
    return fetch(number, &call);
}

int loop_hit(unsigned long number)
{
    return fetch(number, NULL);
}

int loop_hit_l1_only(unsigned long number)
{
    return fetch_with(number, NIGH_L1_ONLY);
}

int loop_hit_quiet(unsigned long number)
{
    return fetch_with(number, NIGH_L1_ONLY | NIGH_QUIET);
}

int loop_miss(unsigned long number)
{
    return fetch(number, NULL);
}

int loop_many(unsigned long number)
{
    char names[LOOP_BATCH][KEY_MAX];
    struct nigh_key keys[LOOP_BATCH];
    struct nigh_value values[LOOP_BATCH];
    int results[LOOP_BATCH];
    for (unsigned i = 0; i < LOOP_BATCH; i++)
        keys[i] = (struct nigh_key){names[i], name_key(names[i], number ^ i)};
    int found = 0;
    nigh_get_many(loop.space, keys, LOOP_BATCH, NULL, values, results);
    for (unsigned i = 0; i < LOOP_BATCH; i++) {
        found += results[i] == NIGH_FRESH;
        nigh_release(&values[i]);
    }
    return found == LOOP_BATCH;
}

int loop_put(unsigned long number)
{
    char key[KEY_MAX];
    return nigh_put(loop.space, key, name_key(key, number), loop.value, VALUE_BYTES, NULL) == 0;
}

static void open_cache(const struct loop *l, const char *policy)
{
    struct nigh_options o = NIGH_OPTIONS_INIT;
    o.threads = NIGH_THREADS_NONE;
    o.l1_memory = l->memory;
    o.l1_shards = 4;
    o.l1_limbo = 1u << 20;
    o.space.soft_ttl_ms = 24 * 3600 * 1000; /* it may take minutes */
    if (nigh_options_set(&o, "l1.policy", policy) != 0 || nigh_open(&o, &loop.cache) != 0 ||
        nigh_space_open(loop.cache, "s", NULL, load, NULL, NULL, &loop.space) != 0)
        fail("%s", nigh_options_error());
    loop.keys = l->keys;
    memset(loop.value, 'v', sizeof(loop.value));
}

static unsigned long number_of(const struct loop *l, unsigned long turn)
{
    return l->entries ? turn * 7919 % l->entries : turn;
}

__attribute__((noinline)) static void loop_begins(void)
{
    __asm__ volatile("" ::: "memory");
}

int loop_run(const struct loop *l, const char *policy)
{
    unsigned long other = 0;
    open_cache(l, policy);
    for (unsigned long i = 0; i < l->entries; i++)
        loop_put(i);
    for (unsigned long i = 0; i < l->warm + l->operations; i++) {
        if (i == l->warm)
            loop_begins();
        other += !l->operate(number_of(l, i)) && i >= l->warm;
        if (i % TICK_EVERY == 0)
            nigh_tick(loop.cache);
    }
    printf("other %lu\n", other);
    nigh_close(loop.cache);
    return 0;
}
