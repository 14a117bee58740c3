// SPDX-License-Identifier: MIT
// Calls on a thread with a small stack: what nigh.h says of it is enough, whichever way a call
// goes.
//
// The stack is filled with a pattern beforehand, and what has lost it afterwards was used. The
// frames of a sanitizer are larger: there the calls are made, and nothing is measured. What the
// calls answer is not looked at: on a busy machine some come too late.

#include <pthread.h>
#include <sys/mman.h>

#include "support/peer.h"

enum {
    STACK_BYTES = NIGH_SANITIZED ? 4 << 20 : 256 << 10,
    SAID_BYTES = 64 << 10, /* nigh.h */
    KEYS = 600,
    PATTERN = 0x5a,
};

static struct redis server;
static struct world w;
static const char *part; /* begins the keys of a round, of which no tier knows one */

static struct nigh_key keys[KEYS];
static char names[KEYS][32];

static void name_keys(const char *call)
{
    for (unsigned i = 0; i < KEYS; i++) {
        int len = snprintf(names[i], sizeof(names[i]), "%s%s%u", part, call, i);
        keys[i] = (struct nigh_key){names[i], (size_t)len};
    }
}

static void read_one(int (*read)(struct nigh_space *space, const void *key, size_t key_len,
                                 const struct nigh_call *call, struct nigh_value *ret_value),
                     unsigned i)
{
    struct nigh_value value;
    if (read(w.space, keys[i].data, keys[i].len, NULL, &value) >= 0)
        nigh_release(&value);
}

static void read_many(void)
{
    static struct nigh_value values[KEYS];
    static int outcomes[KEYS];
    name_keys("many");
    CHECK_EQ(nigh_get_many(w.space, keys, KEYS, NULL, values, outcomes), 0);
    for (unsigned i = 0; i < KEYS; i++)
        nigh_release(&values[i]);
}

static void write_some(void)
{
    struct nigh_target targets[2] = {
        {.kind = NIGH_TARGET_KEY, .space = w.space, .name = "k", .name_len = 1},
        {.kind = NIGH_TARGET_TAG, .name = "tag", .name_len = 3},
    };
    for (unsigned i = 0; i < 50; i++) {
        nigh_put(w.space, keys[i].data, keys[i].len, "v", 1, NULL);
        nigh_invalidate(w.space, keys[i].data, keys[i].len, NULL);
    }
    nigh_invalidate_many(w.cache, targets, 2, NULL);
}

static void complete_some(void)
{
    struct nigh_queue *queue;
    struct nigh_completion done[8];
    REQUIRE_EQ(nigh_queue_open(w.cache, &queue), 0);
    name_keys("async");
    int left = 0;
    for (unsigned i = 0; i < 20; i++) {
        struct nigh_value value = NIGH_VALUE_INIT;
        if (nigh_fetch_async(queue, w.space, keys[i].data, keys[i].len, NULL, NULL, &value, NULL) ==
            NIGH_PENDING)
            left++;
        else
            nigh_release(&value);
    }
    while (left > 0) {
        int n = nigh_queue_poll(queue, done, 8, WORLD_PATIENCE_MS);
        REQUIRE(n > 0);
        for (int i = 0; i < n; i++, left--)
            nigh_release(&done[i].value);
    }
    nigh_queue_close(queue);
}

static void *make_calls(void *arg)
{
    name_keys("one");
    for (unsigned i = 0; i < 50; i++) {
        read_one(nigh_fetch, i);
        read_one(nigh_get, i + 100);
    }
    read_many();
    write_some();
    complete_some();
    CHECK_EQ(nigh_set(w.cache, "l1.memory", "40MiB"), 0);
    nigh_drain(w.cache, WORLD_PATIENCE_MS);
    return arg;
}

/* Runs the calls on a thread of its own. Returns the bytes of its stack that were written. */
static size_t stack_used_by(void *(*run)(void *arg))
{
    pthread_attr_t attr;
    pthread_t thread;
    uint8_t *stack = mmap(NULL, STACK_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
                          -1, 0);
    REQUIRE(stack != MAP_FAILED);
    memset(stack, PATTERN, STACK_BYTES);
    pthread_attr_init(&attr);
    REQUIRE_EQ(pthread_attr_setstack(&attr, stack, STACK_BYTES), 0);
    REQUIRE_EQ(pthread_create(&thread, &attr, run, NULL), 0);
    pthread_join(thread, NULL);
    pthread_attr_destroy(&attr);
    size_t unused = 0;
    while (unused < STACK_BYTES && stack[unused] == PATTERN)
        unused++;
    munmap(stack, STACK_BYTES);
    return STACK_BYTES - unused;
}

static void *make_none(void *arg)
{
    return arg;
}

static void check_stack(enum nigh_threads threads)
{
    redis_start(&server, NULL);
    struct nigh_options o = node_options(&server);
    struct nigh_space_options so = NIGH_SPACE_OPTIONS_INIT;
    o.threads = threads;
    o.l1_memory = 64u << 20;
    origin_init(&w.origin);
    world_open_with(&w, &o, &so, &w.origin);
    part = threads == NIGH_THREADS_NONE ? "none" : "own";
    CHECK_WITHIN(WORLD_PATIENCE_MS,
                 (o.threads == NIGH_THREADS_OWN || world_tick(&w) >= 0) &&
                     nigh_health(w.cache) == NIGH_FRESH);
    size_t before = stack_used_by(make_none);
    size_t used = stack_used_by(make_calls);
    check_note("%zu bytes, of which a thread that does nothing has %zu", used, before);
    if (!NIGH_SANITIZED)
        CHECK_LE(used - before, SAID_BYTES);
    world_close(&w);
    redis_stop(&server);
}

TEST(a_small_stack_is_enough_for_a_call)
{
    check_stack(NIGH_THREADS_OWN);
}

TEST(a_small_stack_is_enough_for_a_call_that_does_the_work_of_our_threads)
{
    check_stack(NIGH_THREADS_NONE);
}
