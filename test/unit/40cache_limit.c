// SPDX-License-Identifier: MIT
// A cap above what the process may use is said at the opening and when it is set; no other is.

#include <inttypes.h>
#include <pthread.h>
#include <string.h>

#include <nigh/nigh.h>

#include "cache/limit.h"
#include "support/fake_env.h"
#include "support/tree.h"

#define GIB ((uint64_t)1 << 30)
#define GROUP "sys/fs/cgroup/a/memory.max"

/* A machine of 8 GiB, and a group of its own in it with this limit. */
static void machine(struct tree *t, const char *limit)
{
    tree_begin(t);
    tree_write(t, "proc/meminfo", "MemTotal:        8388608 kB\n");
    tree_write(t, "proc/self/cgroup", "0::/a\n");
    tree_write(t, GROUP, limit);
}

/* Returns what is said of a cap, "" if nothing. */
static const char *said_of(struct fake_env *f, const struct tree *t, uint64_t memory_bytes)
{
    f->log_count = 0;
    f->log_last[0] = '\0';
    limit_warn(&f->log, memory_bytes, t->root);
    if (f->log_count > 0)
        CHECK_EQ(f->log_level, NIGH_LOG_WARN);
    return f->log_last;
}

static bool says(const char *text, const char *a, const char *b, const char *c)
{
    bool right = strstr(text, a) && strstr(text, b) && strstr(text, c);
    if (!right)
        check_note("said \"%s\"", text);
    return right;
}

TEST(a_cap_above_the_cgroups_limit)
{
    struct fake_env f;
    struct tree t;
    fake_env_init(&f, check_seed());
    machine(&t, "1073741824\n");
    CHECK_STR(said_of(&f, &t, 512u << 20), "");
    CHECK_STR(said_of(&f, &t, GIB - 1), "");
    CHECK(says(said_of(&f, &t, GIB), "l1.memory is 1024 MiB", "cgroup", "1024 MiB: the kernel"));
    CHECK(says(said_of(&f, &t, 2 * GIB), "2048 MiB", "cgroup", "1024 MiB"));
    CHECK(says(said_of(&f, &t, 16 * GIB), "16384 MiB", "cgroup", "1024 MiB")); /* said again */
    tree_end(&t);
    fake_env_fini(&f);
}

TEST(a_cap_above_the_machines_memory)
{
    struct fake_env f;
    struct tree t;
    fake_env_init(&f, check_seed());
    machine(&t, "max\n");
    CHECK_STR(said_of(&f, &t, 8 * GIB - 1), "");
    CHECK(says(said_of(&f, &t, 9 * GIB), "9216 MiB", "machine", "8192 MiB"));
    tree_write(&t, GROUP, "1099511627776\n"); /* a limit that limits nothing */
    CHECK(says(said_of(&f, &t, 9 * GIB), "9216 MiB", "machine", "8192 MiB"));
    tree_end(&t);
    fake_env_fini(&f);
}

TEST(what_is_not_known_is_not_warned_of)
{
    struct fake_env f;
    struct tree t;
    fake_env_init(&f, check_seed());
    tree_begin(&t);
    CHECK_STR(said_of(&f, &t, 1ull << 46), "");
    tree_end(&t);
    fake_env_fini(&f);
}

/* ---- this machine ---- */

/* Keys: (l) lock */
struct heard {
    pthread_mutex_t lock;
    unsigned count;  /* (l) */
    char last[512];  /* (l) */
};

static void hear(void *arg, enum nigh_log_level level, const char *message)
{
    struct heard *h = arg;
    if (level > NIGH_LOG_WARN || !strstr(message, "l1.memory is"))
        return;
    pthread_mutex_lock(&h->lock);
    h->count++;
    snprintf(h->last, sizeof(h->last), "%s", message);
    pthread_mutex_unlock(&h->lock);
}

static unsigned heard(struct heard *h, char text[512])
{
    pthread_mutex_lock(&h->lock);
    unsigned count = h->count;
    memcpy(text, h->last, sizeof(h->last));
    pthread_mutex_unlock(&h->lock);
    return count;
}

TEST(it_is_said_at_the_opening_and_when_it_is_set)
{
    struct heard h = {.lock = PTHREAD_MUTEX_INITIALIZER};
    struct nigh_options o = NIGH_OPTIONS_INIT;
    struct nigh *cache;
    char text[512], wanted[64];
    uint64_t most = u64_min(cgroup_memory_limit(""), cgroup_machine_memory(""));
    REQUIRE(most > 64u << 20 && most < 1ull << 45);
    o.log = hear;
    o.log_arg = &h;
    o.l1_shards = 1;
    o.l1_memory = 32u << 20;
    REQUIRE_EQ(nigh_open(&o, &cache), 0);
    snprintf(wanted, sizeof(wanted), "%" PRIu64 "k", most * 2 >> 10);
    CHECK_EQ(nigh_set(cache, "l1.memory", wanted), 0);
    CHECK_WITHIN(20000, heard(&h, text) == 1);
    snprintf(wanted, sizeof(wanted), "is %" PRIu64 " MiB", ((most * 2 >> 10) + 1023) >> 10);
    CHECK(says(text, wanted, "limit", "MiB") || says(text, wanted, "machine", "MiB"));
    CHECK_EQ(nigh_set(cache, "l1.limbo", "1MiB"), 0); /* says nothing of the cap */
    CHECK_EQ(nigh_set(cache, "l1.memory", "64MiB"), 0);
    nigh_close(cache);
    CHECK_EQ(heard(&h, text), 1);

    o.l1_memory = most + (1u << 20);
    REQUIRE_EQ(nigh_open(&o, &cache), 0);
    CHECK_WITHIN(20000, heard(&h, text) == 2);
    nigh_close(cache);
    CHECK_EQ(heard(&h, text), 2);
}
