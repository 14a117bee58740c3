// SPDX-License-Identifier: MIT
// Stamps against floors: what an invalidation covers is never stored, nor judged current, again.

#include <pthread.h>
#include <sys/wait.h>
#include <unistd.h>

#include "l1/floors.h"
#include "support/l1_cache.h"

#define TAG_A 1500
#define TAG_B 1600
#define TAG_C 1601

#define RAISES 200000

static enum l1_standing judge(struct cache *c, uint64_t stamp, uint16_t tag)
{
    return l1_judge_groups(&c->space, stamp, &tag, 1);
}

TEST(a_group_floor_covers_what_began_before_it)
{
    struct cache c;
    cache_open(&c, 1 << 20, 1);
    uint64_t before = l1_ticket(c.l1);
    CHECK_EQ(judge(&c, before, TAG_A), L1_CURRENT);
    uint64_t at = l1_raise_group(c.l1, TAG_A, false);
    CHECK_EQ(at, before + 1);
    CHECK_EQ(l1_ticket(c.l1), at);
    CHECK_EQ(judge(&c, before, TAG_A), L1_BELOW_HARD);
    CHECK_EQ(judge(&c, before, TAG_B), L1_CURRENT);
    CHECK_EQ(judge(&c, at, TAG_A), L1_CURRENT);
    cache_close(&c);
}

TEST(soft_is_stale_and_hard_is_gone)
{
    struct cache c;
    cache_open(&c, 1 << 20, 1);
    uint64_t t = l1_ticket(c.l1);
    l1_raise_group(c.l1, TAG_A, true);
    CHECK_EQ(judge(&c, t, TAG_A), L1_BELOW_SOFT);
    l1_raise_group(c.l1, CACHE_SPACE_SLOT, true);
    CHECK_EQ(judge(&c, t, TAG_B), L1_BELOW_SOFT); /* by its space */
    l1_raise_group(c.l1, GROUP_SLOT_ALL, false);
    CHECK_EQ(judge(&c, t, TAG_B), L1_BELOW_HARD); /* by all */
    CHECK_EQ(judge(&c, l1_ticket(c.l1), TAG_B), L1_CURRENT);
    cache_close(&c);
}

/* Checks what a hit asks, and what everybody else does. */
static void check_judged(struct cache *c, const struct l1_entry *e, enum l1_standing wanted)
{
    CHECK_EQ(l1_judge(c->l1, e), wanted);
    CHECK_EQ(l1_is_current(&c->space, e), wanted == L1_CURRENT);
}

static void raise_one_by_one(struct cache *c, struct l1_value *v, bool soft)
{
    const uint16_t over[] = {GROUP_SLOT_ALL, CACHE_SPACE_SLOT, TAG_A, TAG_B, TAG_C};
    struct name name;
    struct l1_key key = cache_key(c, &name, 1);
    for (uint32_t i = 0; i < 2 + v->group_count; i++) {
        struct l1_entry *e;
        v->stamp = l1_ticket(c->l1);
        REQUIRE_EQ(l1_entry_create(c->l1, &key, v, &e), 0);
        check_judged(c, e, L1_CURRENT);
        for (uint32_t j = v->group_count; j < 3; j++)
            l1_raise_group(c->l1, over[2 + j], soft); /* tags that it does not have */
        l1_raise_group(c->l1, CACHE_SPACE_SLOT + 1, soft);
        l1_raise_group(c->l1, GROUP_SLOTS_MIN - 1, soft);
        check_judged(c, e, L1_CURRENT);
        l1_raise_group(c->l1, over[i], soft);
        check_judged(c, e, soft ? L1_BELOW_SOFT : L1_BELOW_HARD);
        l1_raise_group(c->l1, over[i], !soft);
        check_judged(c, e, L1_BELOW_HARD);
        l1_entry_unref(e);
    }
}

TEST(an_entry_is_judged_by_all_its_space_and_each_of_its_tags)
{
    struct cache c;
    cache_open(&c, 1 << 20, 1);
    const uint16_t tags[] = {TAG_A, TAG_B, TAG_C};
    struct l1_value v = cache_value(&c, "x", 1);
    v.groups = tags;
    for (v.group_count = 0; v.group_count <= 3; v.group_count++)
        for (v.version = 0; v.version < 2; v.version++) {
            raise_one_by_one(&c, &v, false);
            raise_one_by_one(&c, &v, true);
        }
    cache_close(&c);
}

TEST(a_mark_moves_now_and_no_floor)
{
    struct cache c;
    cache_open(&c, 1 << 20, 1);
    uint64_t t = l1_ticket(c.l1);
    CHECK_EQ(l1_mark(c.l1), t + 1);
    CHECK_EQ(l1_ticket(c.l1), t + 1);
    CHECK_EQ(judge(&c, t, TAG_A), L1_CURRENT);
    cache_close(&c);
}

TEST(a_key_floor_refuses_what_began_before_it)
{
    struct cache c;
    cache_open(&c, 1 << 20, 1);
    struct name name;
    struct l1_key key = cache_key(&c, &name, 1);
    struct l1_value old = cache_value(&c, "old", 3);
    CHECK_EQ(cache_store(&c, 1, &old), L1_STORED);
    bool ok = false;
    uint64_t at = l1_invalidate_key(c.l1, &key, 0, old.stamp, &ok);
    CHECK(ok);
    CHECK_EQ(l1_key_floor(c.l1, &key), at);
    CHECK(!cache_has(&c, 1));
    CHECK(!l1_key_current(c.l1, &key, old.stamp) && l1_key_current(c.l1, &key, at));
    CHECK_EQ(cache_store(&c, 1, &old), L1_REFUSED_FLOOR); /* a load in flight comes home */
    CHECK(!cache_has(&c, 1));
    l1_invalidate_key(c.l1, &key, 0, old.stamp, &ok);
    CHECK(!ok); /* a second writer was overtaken by the first */
    struct l1_value new = cache_value(&c, "new", 3);
    CHECK_EQ(cache_store(&c, 1, &new), L1_STORED);
    cache_close(&c);
}

static void *invalidate_one(void *arg)
{
    cache_remove(arg, 1);
    return NULL;
}

/* Rule 2: the other way round, a store between the two would stay for ever. */
TEST(the_floor_rises_before_the_entry_is_removed)
{
    struct cache c;
    cache_open(&c, 1 << 20, 1);
    struct name name;
    struct l1_key key = cache_key(&c, &name, 1);
    CHECK_EQ(cache_put(&c, 1, "old", 3), L1_STORED);
    struct l1_shard *s = l1_shard_of(c.l1, key.hash);
    pthread_t thread;
    l1_shard_lock(s); /* as a storer would: nobody can remove now */
    REQUIRE_EQ(pthread_create(&thread, NULL, invalidate_one, &c), 0);
    CHECK_WITHIN(20000, l1_key_floor(c.l1, &key) == 1);
    CHECK(cache_has(&c, 1));
    l1_shard_unlock(c.l1, s);
    pthread_join(thread, NULL);
    CHECK(!cache_has(&c, 1));
    cache_close(&c);
}

TEST(a_value_below_any_of_its_groups_is_not_stored)
{
    struct cache c;
    cache_open(&c, 1 << 20, 1);
    uint16_t groups[] = {TAG_A, TAG_B};
    uint16_t slots[] = {GROUP_SLOT_ALL, CACHE_SPACE_SLOT, TAG_A, TAG_B};
    for (int soft = 0; soft < 2; soft++)
        for (int i = 0; i < 4; i++) {
            struct l1_value v = cache_value(&c, "x", 1);
            v.groups = groups;
            v.group_count = 2;
            l1_raise_group(c.l1, slots[i], soft);
            CHECK_EQ(cache_store(&c, 1, &v), L1_REFUSED_FLOOR);
            v.stamp = l1_ticket(c.l1);
            CHECK_EQ(cache_store(&c, 1, &v), L1_STORED);
        }
    cache_audit(&c);
    cache_close(&c);
}

static enum l1_store_result put_version(struct cache *c, uint64_t version)
{
    struct l1_value v = cache_value(c, "x", 1);
    v.version = version;
    return cache_store(c, 1, &v);
}

TEST(versions_order_stores_and_invalidations)
{
    struct cache c;
    cache_open(&c, 1 << 20, 1);
    struct name name;
    struct l1_key key = cache_key(&c, &name, 1);
    CHECK_EQ(put_version(&c, 5), L1_STORED);
    CHECK_EQ(put_version(&c, 4), L1_REFUSED_VERSION);
    CHECK_EQ(put_version(&c, 5), L1_STORED);
    uint64_t before = l1_ticket(c.l1);
    uint64_t at = l1_invalidate_key(c.l1, &key, 5, before, NULL);
    CHECK(cache_has(&c, 1));                         /* it is what was announced */
    CHECK(!l1_key_current(c.l1, &key, before));      /* and the floor rose all the same */
    CHECK_EQ(l1_key_floor(c.l1, &key), at);
    l1_invalidate_key(c.l1, &key, 6, before, NULL);
    CHECK(!cache_has(&c, 1));
    CHECK_EQ(put_version(&c, 3), L1_STORED); /* nothing is there to be older than */
    CHECK_EQ(put_version(&c, 0), L1_STORED); /* none: not comparable */
    l1_invalidate_key(c.l1, &key, 1, before, NULL);
    CHECK(!cache_has(&c, 1)); /* an unversioned one goes */
    cache_close(&c);
}

TEST(an_expired_version_does_not_refuse_an_older_one)
{
    struct cache c;
    cache_open(&c, 1 << 20, 1);
    struct l1_value v = cache_value(&c, "x", 1);
    v.version = 9;
    v.fresh_until_ns = v.stale_until_ns = v.born_ns + NS_PER_S;
    CHECK_EQ(cache_store(&c, 1, &v), L1_STORED);
    CHECK_EQ(put_version(&c, 8), L1_REFUSED_VERSION);
    fake_env_advance(&c.fake, 2 * NS_PER_S);
    CHECK_EQ(put_version(&c, 8), L1_STORED);
    cache_close(&c);
}

static void *raise_many(void *arg)
{
    for (int i = 0; i < RAISES; i++)
        floors_raise_group(arg, TAG_A, false);
    return NULL;
}

/* Who meets a raise on its way sees nothing of it, or how hard it is. */
TEST(a_hard_raise_is_never_taken_for_a_soft_one)
{
    struct l1_floors f;
    pthread_t threads[2];
    uint16_t tag = TAG_A;
    uint64_t stamp;
    REQUIRE_EQ(floors_init(&f, GROUP_SLOTS_MIN, KEY_FLOORS_MIN), 0);
    for (int i = 0; i < 2; i++)
        REQUIRE_EQ(pthread_create(&threads[i], NULL, raise_many, &f), 0);
    do {
        stamp = floors_now(&f);
        CHECK(floors_judge_slow(&f, stamp, 1, &tag, 1) != L1_BELOW_SOFT);
    } while (stamp < 2 * RAISES);
    for (int i = 0; i < 2; i++)
        pthread_join(threads[i], NULL);
    CHECK_EQ(floors_judge(&f, stamp, 1, &tag, 1), L1_CURRENT);
    CHECK_EQ(floors_judge(&f, stamp - 1, 1, &tag, 1), L1_BELOW_HARD);
    floors_fini(&f);
}

TEST(slots_beyond_the_table_wrap)
{
    struct l1_floors f;
    REQUIRE_EQ(floors_init(&f, GROUP_SLOTS_MIN, KEY_FLOORS_MIN), 0);
    uint16_t beyond = GROUP_SLOTS_MIN + 1100;
    uint16_t same = 1100;
    floors_raise_group(&f, beyond, false);
    CHECK_EQ(floors_judge(&f, 0, 1, &same, 1), L1_BELOW_HARD);
    floors_fini(&f);
}

TEST(key_floors_scale_with_memory)
{
    CHECK_EQ(floors_key_count(0), KEY_FLOORS_MIN);
    CHECK_EQ(floors_key_count(8 << 20), 16384);
    CHECK_EQ(floors_key_count(UINT64_C(1) << 40), KEY_FLOORS_MAX);
    for (uint64_t memory = 1 << 20; memory < UINT64_C(1) << 34; memory *= 2)
        CHECK_LE(floors_bytes(0, floors_key_count(memory)) - floors_bytes(0, 0), memory / 64);
}

/* Stamps have 48 bits. The last one is as good as any; what comes after it would be older than all
 * that was invalidated, and is never drawn. */
TEST(positions_end_where_stamps_do)
{
    struct cache c;
    cache_open(&c, 1 << 20, 1);
    atomic_store_explicit(&c.l1->floors->now, ENTRY_STAMP_MASK - 2, memory_order_relaxed);
    CHECK_EQ(cache_put(&c, 1, "x", 1), L1_STORED);
    CHECK_EQ(cache_own(&c, 2, 1), L1_STORED);
    cache_remove(&c, 1);
    CHECK(!cache_has(&c, 1) && cache_has(&c, 2));
    CHECK_EQ(l1_ticket(c.l1), ENTRY_STAMP_MASK);
    pid_t child = fork();
    if (child == 0) {
        cache_remove(&c, 2);
        _exit(0); /* never */
    }
    int status = 0;
    CHECK_EQ(waitpid(child, &status, 0), child);
    CHECK(!WIFEXITED(status) || WEXITSTATUS(status) != 0);
    cache_close(&c);
}
