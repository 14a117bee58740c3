// SPDX-License-Identifier: MIT
/*
 * Two threads on one table, one operation at a time, handed over by a condition variable. What
 * happens between a thread's two marks is that operation and nothing else; the hand-over, and the
 * turns of the cache's own threads that are taken in between, lie outside. A thread's keys are in
 * other shards than the other's, and their key floors on other lines.
 */
#include "work.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>

#include "cache/cache.h"
#include "l1/core.h"
#include "l1/shard.h"
#include "support/progress.h"

const char *const work_names[WORK_OPS] = {"hit", "put", "miss"};

#define SHARDS 16u
#define KEYS_HOT 8u
#define KEY_BYTES 16

struct actor {
    unsigned index;
    char (*keys)[KEY_BYTES]; /* the first KEYS_HOT are there from the beginning */
    unsigned missed;         /* of the others, so many have been asked for */
    pthread_t thread;
};

static struct {
    struct nigh *cache;
    struct nigh_space *space;
    const struct work_phase *phases;
    unsigned phase_count, rounds;
    volatile uint64_t *marks;
    pthread_mutex_t lock;
    pthread_cond_t moved;
    unsigned turn; /* of the actor with this index, modulo 2 */
} work = {.lock = PTHREAD_MUTEX_INITIALIZER, .moved = PTHREAD_COND_INITIALIZER};

static void must(int is_well, const char *what)
{
    if (is_well)
        return;
    fprintf(stderr, "lines: %s failed\n", what);
    exit(1);
}

static int load(void *arg, struct nigh_fill *const fills[], size_t n)
{
    (void)arg, (void)n;
    return nigh_fill_value(fills[0], "value", 5);
}

/* Whether a key is one of this actor's: half of the shards, and half of the lines of key floors. */
static bool is_mine(const struct actor *a, const char *key)
{
    const struct l1 *l1 = work.cache->l1;
    struct l1_key k = l1_key_of(l1, work.space->id, key, strlen(key));
    uint64_t shard = hit_shard_index(&l1->hit, k.hash);
    uint64_t floor = (k.hash >> 34 & (l1->floors->key_count - 1)) / 8;
    return shard / (SHARDS / 2) == a->index && floor % 2 == a->index;
}

/* Short, for all of this is traced: a number as letters. */
static void name_key(char *key, unsigned number)
{
    int at = 0;
    for (; at < 4 || number > 0; number /= 16)
        key[at++] = (char)('a' + number % 16);
    key[at] = 0;
}

static void choose_keys(struct actor *a)
{
    unsigned count = KEYS_HOT;
    for (unsigned i = 0; i < work.phase_count; i++)
        count += work.phases[i].ops[a->index] == WORK_MISS ? work.rounds : 0;
    a->keys = calloc(count, sizeof(*a->keys));
    must(a->keys != NULL, "calloc");
    unsigned chosen = 0;
    for (unsigned i = 0; chosen < count; i++) {
        name_key(a->keys[chosen], i);
        chosen += is_mine(a, a->keys[chosen]);
    }
    for (unsigned i = 0; i < KEYS_HOT; i++)
        must(nigh_put(work.space, a->keys[i], strlen(a->keys[i]), "value", 5, NULL) == 0, "put");
}

static void mark(enum work_mark mark)
{
    work.marks[mark * WORK_MARK_BYTES / sizeof(*work.marks)] = mark;
}

static void operate(struct actor *a, enum work_op op, unsigned round)
{
    const char *key = a->keys[op == WORK_MISS ? KEYS_HOT + a->missed++ : round % KEYS_HOT];
    size_t len = strlen(key);
    struct nigh_value value = NIGH_VALUE_INIT;
    int rc;
    mark(a->index ? WORK_BEGIN_1 : WORK_BEGIN_0);
    switch (op) {
    case WORK_PUT: rc = nigh_put(work.space, key, len, "other", 5, NULL); break;
    default: rc = nigh_fetch(work.space, key, len, NULL, &value);
    }
    nigh_release(&value);
    mark(a->index ? WORK_END_1 : WORK_END_0);
    must(rc == NIGH_FRESH, work_names[op]); /* which is 0 */
}

static void await_turn_locked(unsigned turn)
{
    while (work.turn != turn)
        pthread_cond_wait(&work.moved, &work.lock);
}

static void take_turn_locked(struct actor *a, unsigned turn)
{
    unsigned round = turn % work.rounds;
    await_turn_locked(2 * turn + a->index);
    if (round == 0 && a->index == 0)
        mark(WORK_PHASE);
    operate(a, work.phases[turn / work.rounds].ops[a->index], round);
    if (a->index == 1)
        nigh_tick(work.cache); /* what the cache's own threads would do */
    work.turn++;
    pthread_cond_broadcast(&work.moved);
}

static void *act(void *arg)
{
    unsigned turns = work.phase_count * work.rounds;
    const struct actor *a = arg;
    for (unsigned turn = 0; turn < turns; turn++) {
        if (a->index == 0)
            progress_share((double)turn / turns, "lines: traced by valgrind");
        pthread_mutex_lock(&work.lock);
        take_turn_locked(arg, turn);
        pthread_mutex_unlock(&work.lock);
    }
    return NULL;
}

static void tell(const char *name, const void *at, size_t bytes)
{
    printf("%s %llx %zu\n", name, (unsigned long long)(uintptr_t)at, bytes);
}

static void tell_all(void)
{
    struct l1 *l1 = work.cache->l1;
    tell("space", work.space, sizeof(*work.space));
    tell("stats", work.space->stats.set, sizeof(*work.space->stats.set));
    tell("cache", work.cache, sizeof(*work.cache));
    tell("l1", l1, sizeof(*l1));
    tell("shards", l1->shards, l1->shards_block_bytes);
    tell("groups", l1->floors->groups,
         sizeof(struct group_floors) + l1->floors->group_count * sizeof(struct group_floor));
    tell("keys", l1->floors->keys, l1->floors->key_count * sizeof(*l1->floors->keys));
    fflush(stdout);
}

static void open_cache(void)
{
    struct nigh_options o = NIGH_OPTIONS_INIT;
    o.threads = NIGH_THREADS_NONE;
    o.l1_memory = 16u << 20;
    o.l1_shards = SHARDS;
    o.space.soft_ttl_ms = 24 * 3600 * 1000; /* a trace may take minutes */
    must(nigh_open(&o, &work.cache) == 0, "nigh_open");
    must(nigh_space_open(work.cache, "s", NULL, load, NULL, NULL, &work.space) == 0, "opening");
}

int work_run(const struct work_phase *phases, unsigned count, unsigned rounds)
{
    struct actor actors[2] = {{.index = 0}, {.index = 1}};
    void *page = mmap((void *)(uintptr_t)WORK_MARKS_AT, 4096, PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
    must(page != MAP_FAILED, "mmap");
    work.marks = page;
    work.phases = phases;
    work.phase_count = count;
    work.rounds = rounds;
    open_cache();
    for (unsigned i = 0; i < 2; i++)
        choose_keys(&actors[i]);
    tell_all();
    for (unsigned i = 0; i < 2; i++)
        must(pthread_create(&actors[i].thread, NULL, act, &actors[i]) == 0, "pthread_create");
    for (unsigned i = 0; i < 2; i++)
        pthread_join(actors[i].thread, NULL);
    nigh_close(work.cache);
    for (unsigned i = 0; i < 2; i++)
        free(actors[i].keys);
    return 0;
}
