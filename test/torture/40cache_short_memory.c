// SPDX-License-Identifier: MIT
/*
 * The kernel gives no more memory, now and then or for a while: calls say so or do not store, and
 * nothing else happens. Afterwards all is as it was.
 *
 * The fault point is below the allocators: this program's own mmap(), mremap(), munmap(),
 * sbrk() and madvise() fail every n-th time, as they do under RLIMIT_AS, strict overcommit, or with
 * too many mappings (then one cannot be split, so munmap() fails too).
 * Sanitizers need these calls for themselves: there nothing fails.
 */
#undef _FILE_OFFSET_BITS /* mmap() and mmap64() are two names: the allocator calls one, nigh one */

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <nigh/nigh.h>

#include "base/check.h"
#include "support/check.h"

enum { WRITERS = 2, KEYS = 20000, VALUE_MAX = 60000 };

/* ---- the kernel ---- */

static _Atomic uint32_t fail_each; /* 0: none fails; 1: all do */
static _Atomic uint32_t failed;

#if !NIGH_SANITIZED

static _Atomic uint32_t calls;

static bool fails(void)
{
    uint32_t each = atomic_load_explicit(&fail_each, memory_order_relaxed);
    if (!each || atomic_fetch_add_explicit(&calls, 1, memory_order_relaxed) % each)
        return false;
    atomic_fetch_add_explicit(&failed, 1, memory_order_relaxed);
    errno = ENOMEM;
    return true;
}

void *mmap(void *at, size_t size, int protection, int flags, int fd, off_t offset)
{
    if (fails())
        return MAP_FAILED;
    return (void *)syscall(SYS_mmap, at, size, protection, flags, fd, offset);
}

void *mmap64(void *at, size_t size, int protection, int flags, int fd, off64_t offset)
{
    return mmap(at, size, protection, flags, fd, offset);
}

void *mremap(void *at, size_t size, size_t wanted, int flags, ...)
{
    if (wanted > size && fails())
        return MAP_FAILED;
    return (void *)syscall(SYS_mremap, at, size, wanted, flags, NULL);
}

int munmap(void *at, size_t size)
{
    return fails() ? -1 : (int)syscall(SYS_munmap, at, size);
}

/* Where jemalloc looks when mmap() fails. */
extern void *__sbrk(intptr_t by);

void *sbrk(intptr_t by)
{
    return by > 0 && fails() ? (void *)-1 : __sbrk(by);
}

int madvise(void *at, size_t size, int advice)
{
    return fails() ? -1 : (int)syscall(SYS_madvise, at, size, advice);
}

#endif

/* ---- calls ---- */

static struct nigh *cache;
static struct nigh_space *space;
static _Atomic bool stop;
static _Atomic uint64_t done, refused;

static bool running(void)
{
    return !atomic_load_explicit(&stop, memory_order_relaxed);
}

static size_t key_of(char key[32], unsigned number)
{
    return (size_t)snprintf(key, 32, "key:%07u", number);
}

static size_t size_of(unsigned number)
{
    return number % 50 ? number % 700 : number * 7 % VALUE_MAX;
}

static int load(void *arg, struct nigh_fill *const fills[], size_t n)
{
    static const char bytes[100];
    (void)arg;
    for (size_t i = 0; i < n; i++)
        if (nigh_fill_value(fills[i], bytes, sizeof(bytes)) != 0)
            return -1;
    return 0;
}

static void expect(int rc)
{
    CHECK(rc >= 0 || rc == NIGH_ENOMEM || rc == NIGH_EFULL || rc == NIGH_ELOADER);
    atomic_fetch_add_explicit(rc >= 0 ? &done : &refused, 1, memory_order_relaxed);
}

static void *write_and_read(void *arg)
{
    static const char bytes[VALUE_MAX];
    uint64_t random = check_seed() + (uintptr_t)arg;
    while (running()) {
        char key[32];
        unsigned number = (unsigned)(check_random(&random) % KEYS);
        size_t len = key_of(key, number);
        const char *tags[] = {"a", "b"};
        struct nigh_call call = NIGH_CALL_INIT;
        call.tags = tags;
        call.tag_count = number % 3;
        if (check_random(&random) % 2) {
            expect(nigh_put(space, key, len, bytes, size_of(number), &call));
        } else {
            struct nigh_value value;
            int rc = nigh_fetch(space, key, len, NULL, &value);
            expect(rc);
            if (rc >= 0)
                nigh_release(&value);
        }
    }
    return NULL;
}

static struct nigh *open_cache(const char *memory)
{
    struct nigh_options options = NIGH_OPTIONS_INIT;
    struct nigh *opened = NULL;
    REQUIRE_EQ(nigh_options_set(&options, "l1.memory", memory), 0);
    int rc = nigh_open(&options, &opened);
    CHECK(rc == 0 || rc == NIGH_ENOMEM || rc == NIGH_ETHREAD);
    return rc == 0 ? opened : NULL;
}

/*
 * jemalloc makes an arena for each of the first threads of a process, four for a processor, and
 * ends with a fault in one that allocates for the first time while there is no memory for that
 * (5.3: tcache_arena_associate). No library can help it, so they are made before.
 */
static pthread_barrier_t all_there;

static void *allocate(void *arg)
{
    (void)arg;
    void *volatile block = malloc(1);
    pthread_barrier_wait(&all_there);
    free(block);
    return NULL;
}

static void make_arenas(void)
{
    pthread_t threads[4 * 64];
    long processors = sysconf(_SC_NPROCESSORS_ONLN);
    unsigned count = (unsigned)(processors < 64 ? 4 * processors : 4 * 64);
    pthread_barrier_init(&all_there, NULL, count);
    for (unsigned i = 0; i < count; i++)
        REQUIRE_EQ(pthread_create(&threads[i], NULL, allocate, NULL), 0);
    for (unsigned i = 0; i < count; i++)
        pthread_join(threads[i], NULL);
    pthread_barrier_destroy(&all_there);
}

/* Caps go up and down, and other caches come and go. */
static void resize_and_open(uint64_t *random)
{
    static const char *const caps[] = {"8m", "64m", "24m", "12m"};
    expect(nigh_set(cache, "l1.memory", caps[check_random(random) % ARRAY_COUNT(caps)]));
    struct nigh *other = open_cache("8m");
    struct nigh_space *s;
    if (other && nigh_space_open(other, "t", NULL, NULL, NULL, NULL, &s) == 0)
        expect(nigh_put(s, "key", 3, "value", 5, NULL));
    nigh_close(other);
}

static void check_all_works(void)
{
    static const char bytes[VALUE_MAX];
    REQUIRE_EQ(nigh_set(cache, "l1.memory", "64m"), 0);
    unsigned found = 0;
    CHECK_WITHIN(60000, nigh_put(space, "big", 3, bytes, 50000, NULL) == 0);
    for (unsigned i = 0; i < 1000; i++) {
        char key[32];
        size_t len = key_of(key, KEYS + i);
        struct nigh_value value;
        CHECK_EQ(nigh_put(space, key, len, bytes, size_of(i), NULL), 0);
        if (nigh_get(space, key, len, NULL, &value) == NIGH_FRESH) {
            CHECK_EQ(value.len, size_of(i));
            nigh_release(&value);
            found++;
        }
    }
    CHECK_GE(found, 900); /* what lfu has admitted */
}

TEST(calls_say_that_there_is_no_memory)
{
    uint64_t random = check_seed();
    make_arenas();
    REQUIRE(cache = open_cache("64m"));
    REQUIRE_EQ(nigh_space_open(cache, "s", NULL, load, NULL, NULL, &space), 0);
    pthread_t threads[WRITERS];
    for (uintptr_t i = 0; i < WRITERS; i++)
        REQUIRE_EQ(pthread_create(&threads[i], NULL, write_and_read, (void *)i), 0);
    uint64_t end_ms = check_now_ms() + 1000ull * check_seconds(4);
    while (check_now_ms() < end_ms) {
        static const uint32_t each[] = {1, 2, 3, 7, 0};
        atomic_store_explicit(&fail_each, each[check_random(&random) % ARRAY_COUNT(each)],
                              memory_order_relaxed);
        resize_and_open(&random);
        check_pause();
    }
    atomic_store_explicit(&fail_each, 0, memory_order_relaxed);
    check_note("%lu calls done, %lu refused; %u of the kernel's failed", (unsigned long)done,
               (unsigned long)refused, (unsigned)failed);
    uint64_t before = atomic_load_explicit(&done, memory_order_relaxed);
    CHECK_WITHIN(60000, atomic_load_explicit(&done, memory_order_relaxed) > before + 1000);
    atomic_store_explicit(&stop, true, memory_order_relaxed);
    for (int i = 0; i < WRITERS; i++)
        pthread_join(threads[i], NULL);
    CHECK(NIGH_SANITIZED || failed);
    check_all_works();
    nigh_close(cache);
}

/* ---- what a call says ---- */

#if NIGH_ALLOCATOR_JEMALLOC && !NIGH_SANITIZED /* else nothing fails */

static int load_much(void *arg, struct nigh_fill *const fills[], size_t n)
{
    static const char bytes[VALUE_MAX];
    (void)arg;
    (void)n;
    return nigh_fill_value(fills[0], bytes, sizeof(bytes));
}

/* Values that are held need memory, beside the cap in the end; and so does another cache. */
TEST(what_needs_memory_says_that_there_is_none)
{
    enum { HELD_MAX = 20000 };
    static struct nigh_value held[HELD_MAX];
    struct nigh *full = open_cache("64m");
    struct nigh_space *s;
    unsigned n = 0;
    int rc = 0;
    make_arenas();
    REQUIRE(full);
    REQUIRE_EQ(nigh_space_open(full, "s", NULL, load_much, NULL, NULL, &s), 0);
    atomic_store_explicit(&fail_each, 1, memory_order_relaxed);
    CHECK(!open_cache("8m"));
    for (; rc >= 0 && n < HELD_MAX; n += rc >= 0) {
        char key[32];
        rc = nigh_fetch(s, key, key_of(key, n), NULL, &held[n]);
    }
    CHECK_EQ(rc, NIGH_ENOMEM);
    atomic_store_explicit(&fail_each, 0, memory_order_relaxed);
    check_note("%u values held, and no memory for another", n);
    while (n > 0)
        nigh_release(&held[--n]);
    CHECK_WITHIN(60000, (rc = nigh_fetch(s, "again", 5, NULL, &held[0])) == NIGH_FRESH);
    nigh_release(&held[0]);
    nigh_close(full);
}

#endif
