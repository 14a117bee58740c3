// SPDX-License-Identifier: MIT
// put, write and invalidate in one node, once without Redis and once with a real one: what may
// replace what, and what an invalidation leaves. Every case runs in both worlds.

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cache/cache.h"
#include "cache/write/writing.h"
#include "support/origin.h"
#include "support/redis.h"

static int put(struct world *w, const char *text, uint64_t version)
{
    struct nigh_call call = NIGH_CALL_INIT;
    call.version = version;
    return nigh_put(w->space, "k", 1, text, strlen(text), &call);
}

static int write_version(struct world *w, const char *text, uint64_t version)
{
    struct nigh_call call = NIGH_CALL_INIT;
    call.version = version;
    return nigh_write(w->space, "k", 1, text, text ? strlen(text) : 0, &call);
}

static int invalidate(struct world *w, uint64_t version)
{
    struct nigh_call call = NIGH_CALL_INIT;
    call.version = version;
    return nigh_invalidate(w->space, "k", 1, &call);
}

static int target(struct world *w, enum nigh_target_kind kind, const char *name, uint32_t flags)
{
    struct nigh_call call = NIGH_CALL_INIT;
    call.flags = flags;
    struct nigh_target t = {.kind = kind, .space = w->space, .name = name,
                            .name_len = name ? strlen(name) : 0};
    return nigh_invalidate_many(w->cache, &t, 1, &call);
}

static int put_tagged(struct world *w, const char *key, const char *const *tags, size_t count)
{
    struct nigh_call call = NIGH_CALL_INIT;
    call.tags = tags;
    call.tag_count = count;
    return nigh_put(w->space, key, strlen(key), key, strlen(key), &call);
}

static struct answer get(struct world *w)
{
    return ask_get(w->space, "k", NULL);
}

/* ---- put ---- */

TEST_BOTH(without_a_version_the_last_put_wins)
{
    CHECK_EQ(put(w, "one", 0), 0);
    CHECK_ANSWER(get(w), NIGH_FRESH, "one");
    CHECK_EQ(put(w, "two", 0), 0);
    CHECK_ANSWER(get(w), NIGH_FRESH, "two");
}

TEST_BOTH(with_a_version_only_a_newer_put_wins)
{
    CHECK_EQ(put(w, "five", 5), 0);
    CHECK_EQ(put(w, "four", 4), NIGH_REFUSED);
    CHECK_ANSWER(get(w), NIGH_FRESH, "five");
    CHECK_EQ(put(w, "again", 5), NIGH_REFUSED); /* stored iff newer */
    CHECK_ANSWER(get(w), NIGH_FRESH, "five");
    CHECK_EQ(put(w, "six", 6), 0);
    CHECK_ANSWER(get(w), NIGH_FRESH, "six");
    CHECK_EQ(get(w).version, 6);
    CHECK_EQ(put(w, "none", 0), 0); /* says it has no origin: last arrival */
    CHECK_ANSWER(get(w), NIGH_FRESH, "none");
}

TEST_BOTH(a_put_carries_its_own_lifetimes)
{
    struct nigh_call call = NIGH_CALL_INIT;
    struct nigh_value v;
    call.soft_ttl_ms = 7200000;
    call.stale_ms = NIGH_NONE;
    CHECK_EQ(nigh_put(w->space, "k", 1, "v", 1, &call), 0);
    REQUIRE_EQ(nigh_get(w->space, "k", 1, NULL, &v), NIGH_FRESH);
    CHECK_GT(nigh_value_fresh_ms(w->cache, &v), 6400000); /* 10 % jitter */
    int64_t stale_ms = nigh_value_stale_ms(w->cache, &v) - nigh_value_fresh_ms(w->cache, &v);
    CHECK(stale_ms >= 0 && stale_ms < 7200000 / 1000); /* none, but for an entry's rounding */
    nigh_release(&v);
}

TEST_BOTH(a_put_may_be_too_large)
{
    char *big = calloc(1, NIGH_VALUE_MAX + 1ul);
    REQUIRE(big);
    CHECK_EQ(put(w, "old", 0), 0);
    CHECK_EQ(nigh_put(w->space, "k", 1, big, NIGH_VALUE_MAX + 1ul, NULL), NIGH_EVALUE);
    CHECK_ANSWER(get(w), NIGH_FRESH, "old");
    /* Over the space's limit: not stored, and the old one must not stand for it. */
    CHECK_EQ(nigh_put(w->space, "k", 1, big, (1u << 20) + 1, NULL), NIGH_REFUSED);
    CHECK_NE(get(w).len, 3);
    CHECK_EQ(nigh_put(w->space, "k", 1, NULL, 3, NULL), NIGH_EINVAL);
    CHECK_EQ(nigh_put(w->space, "k", 1, NULL, 0, NULL), NIGH_EINVAL);
    free(big);
}

TEST_BOTH(tags_have_limits)
{
    const char *tags[NIGH_TAGS_MAX + 1];
    char names[NIGH_TAGS_MAX + 1][8], longest[NIGH_KEY_MAX + 2];
    for (unsigned i = 0; i <= NIGH_TAGS_MAX; i++) {
        snprintf(names[i], sizeof(names[i]), "t%u", i);
        tags[i] = names[i];
    }
    CHECK_EQ(put_tagged(w, "k", tags, NIGH_TAGS_MAX + 1), NIGH_ETAGS);
    CHECK_EQ(get(w).outcome, NIGH_MISS);
    CHECK_EQ(put_tagged(w, "k", tags, NIGH_TAGS_MAX), 0);
    CHECK_ANSWER(get(w), NIGH_FRESH, "k");
    CHECK_EQ(target(w, NIGH_TARGET_TAG, tags[NIGH_TAGS_MAX - 1], 0), 0);
    CHECK_EQ(get(w).outcome, NIGH_MISS);
    memset(longest, 't', sizeof(longest));
    longest[NIGH_KEY_MAX + 1] = '\0';
    tags[0] = longest;
    CHECK_LT(put_tagged(w, "k", tags, 1), 0);
    tags[0] = "";
    CHECK_LT(put_tagged(w, "k", tags, 1), 0);
    tags[0] = NULL;
    CHECK_EQ(put_tagged(w, "k", tags, 1), NIGH_EINVAL);
    CHECK_EQ(put_tagged(w, "k", NULL, 1), NIGH_EINVAL);
    CHECK_EQ(put_tagged(w, "k", NULL, SIZE_MAX), NIGH_EINVAL);
    CHECK_EQ(put_tagged(w, "none", NULL, 0), 0);
    CHECK_EQ(get(w).outcome, NIGH_MISS);
}

/* ---- put with the ticket of a miss ---- */

static struct nigh_miss miss_of(struct world *w)
{
    struct nigh_miss miss = NIGH_MISS_INIT;
    struct nigh_call call = NIGH_CALL_INIT;
    call.miss = &miss;
    CHECK_EQ(ask_get(w->space, "k", &call).outcome, NIGH_MISS);
    return miss;
}

static int put_missed(struct world *w, struct nigh_miss *miss, const char *text, uint64_t version)
{
    struct nigh_call call = NIGH_CALL_INIT;
    const char *tag = "tag";
    call.miss = miss;
    call.version = version;
    call.tags = &tag;
    call.tag_count = 1;
    return nigh_put(w->space, "k", 1, text, strlen(text), &call);
}

TEST_BOTH(a_put_with_its_ticket_is_stored)
{
    struct nigh_miss miss = miss_of(w);
    CHECK_EQ(miss.token != 0, redis != NULL);
    CHECK_EQ(put_missed(w, &miss, "row", 0), 0);
    CHECK_ANSWER(get(w), NIGH_FRESH, "row");
    if (redis)
        CHECK_EQ(world_count(w, "l2_fill"), 1);
}

static void ticket_out_of_date(struct world *w, int (*change)(struct world *w))
{
    struct nigh_miss miss = miss_of(w);
    CHECK_EQ(change(w), 0);
    CHECK_EQ(put_missed(w, &miss, "old row", 0), NIGH_REFUSED);
    CHECK_EQ(get(w).outcome, NIGH_MISS);
    miss = miss_of(w);
    CHECK_EQ(put_missed(w, &miss, "row", 0), 0);
    CHECK_ANSWER(get(w), NIGH_FRESH, "row");
}

static int invalidate_key(struct world *w)
{
    return invalidate(w, 0);
}

static int invalidate_tag(struct world *w)
{
    return target(w, NIGH_TARGET_TAG, "tag", 0);
}

static int invalidate_space(struct world *w)
{
    return target(w, NIGH_TARGET_SPACE, NULL, 0);
}

static int invalidate_all(struct world *w)
{
    return target(w, NIGH_TARGET_ALL, NULL, 0);
}

TEST_BOTH(a_ticket_is_void_after_an_invalidation_of_the_key)
{
    ticket_out_of_date(w, invalidate_key);
}

/* With Redis the fill may be taken there (its stamp keeps it from being read): L1 decides. */
TEST_BOTH(a_ticket_is_void_after_an_invalidation_of_a_tag)
{
    ticket_out_of_date(w, invalidate_tag);
}

TEST_BOTH(a_ticket_is_void_after_an_invalidation_of_the_space)
{
    ticket_out_of_date(w, invalidate_space);
}

TEST_BOTH(a_ticket_is_void_after_an_invalidation_of_all)
{
    ticket_out_of_date(w, invalidate_all);
}

TEST_BOTH(a_ticket_and_a_version_below_what_is_there)
{
    struct nigh_miss miss = miss_of(w);
    CHECK_EQ(put(w, "five", 5), 0);
    CHECK_EQ(put_missed(w, &miss, "four", 4), NIGH_REFUSED);
    CHECK_ANSWER(get(w), NIGH_FRESH, "five");
}

/* ---- invalidate ---- */

TEST_BOTH(an_invalidated_key_is_gone)
{
    CHECK_EQ(put(w, "v", 0), 0);
    CHECK_EQ(nigh_put(w->space, "other", 5, "v", 1, NULL), 0);
    CHECK_EQ(invalidate(w, 0), 0);
    CHECK_EQ(get(w).outcome, NIGH_MISS);
    CHECK_ANSWER(ask_get(w->space, "other", NULL), NIGH_FRESH, "v");
    CHECK_EQ(invalidate(w, 0), 0); /* of nothing is fine */
}

TEST_BOTH(an_invalidation_with_a_version_spares_what_is_as_new)
{
    CHECK_EQ(put(w, "five", 5), 0);
    CHECK_EQ(invalidate(w, 5), 0);
    CHECK_ANSWER(get(w), NIGH_FRESH, "five");
    CHECK_EQ(invalidate(w, 4), 0);
    CHECK_ANSWER(get(w), NIGH_FRESH, "five");
    CHECK_EQ(invalidate(w, 6), 0);
    CHECK_EQ(get(w).outcome, NIGH_MISS);
    CHECK_EQ(put(w, "none", 0), 0);
    CHECK_EQ(invalidate(w, 1), 0); /* a value without a version is below every version */
    CHECK_EQ(get(w).outcome, NIGH_MISS);
}

TEST_BOTH(a_tag_takes_what_bears_it_and_nothing_else)
{
    static const char *const ab[] = {"a", "b"}, *const bc[] = {"b", "c"}, *const c[] = {"c"};
    CHECK_EQ(put_tagged(w, "ab", ab, 2), 0);
    CHECK_EQ(put_tagged(w, "bc", bc, 2), 0);
    CHECK_EQ(put_tagged(w, "c", c, 1), 0);
    CHECK_EQ(target(w, NIGH_TARGET_TAG, "b", 0), 0);
    CHECK_EQ(ask_get(w->space, "ab", NULL).outcome, NIGH_MISS);
    CHECK_EQ(ask_get(w->space, "bc", NULL).outcome, NIGH_MISS);
    CHECK_ANSWER(ask_get(w->space, "c", NULL), NIGH_FRESH, "c");
    CHECK_EQ(put_tagged(w, "ab", ab, 2), 0); /* later values live */
    CHECK_ANSWER(ask_get(w->space, "ab", NULL), NIGH_FRESH, "ab");
}

/* After another tag was invalidated, so that each read has to look at its own. */
TEST_BOTH(each_tag_of_one_two_or_three_takes_it)
{
    static const char *const tags[] = {"first", "second", "third"};
    for (size_t count = 1; count <= 3; count++)
        for (size_t i = 0; i < count; i++) {
            CHECK_EQ(put_tagged(w, "k", tags, count), 0);
            CHECK_EQ(target(w, NIGH_TARGET_TAG, "another", 0), 0);
            CHECK_ANSWER(get(w), NIGH_FRESH, "k");
            CHECK_EQ(target(w, NIGH_TARGET_TAG, tags[i], 0), 0);
            CHECK_EQ(get(w).outcome, NIGH_MISS);
        }
}

static uint16_t slot_of_tag(struct world *w, const char *tag)
{
    uint64_t hash = hash_wire(WIRE_TAG, bytes_of("", 0), bytes_of_string(tag));
    return hash_group_slot(WIRE_TAG, hash, w->cache->group_slots);
}

TEST_BOTH(tags_that_share_a_slot_fall_together)
{
    const char *tag = "a tag";
    char twin[16] = "";
    for (unsigned i = 0; !twin[0] || slot_of_tag(w, twin) != slot_of_tag(w, tag); i++)
        snprintf(twin, sizeof(twin), "t%u", i);
    CHECK_EQ(put_tagged(w, "k", &tag, 1), 0);
    CHECK_EQ(target(w, NIGH_TARGET_TAG, twin, 0), 0);
    CHECK_EQ(get(w).outcome, NIGH_MISS);
    CHECK_EQ(put_tagged(w, "k", &tag, 1), 0);
    CHECK_ANSWER(get(w), NIGH_FRESH, "k");
}

TEST_BOTH(a_space_and_all_take_everything_in_them)
{
    struct nigh_space *other;
    REQUIRE_EQ(nigh_space_open(w->cache, "s2", NULL, NULL, NULL, NULL, &other), 0);
    CHECK_EQ(put(w, "v", 0), 0);
    CHECK_EQ(nigh_put(other, "k", 1, "v", 1, NULL), 0);
    CHECK_EQ(invalidate_space(w), 0);
    CHECK_EQ(get(w).outcome, NIGH_MISS);
    CHECK_ANSWER(ask_get(other, "k", NULL), NIGH_FRESH, "v");
    CHECK_EQ(invalidate_all(w), 0);
    CHECK_EQ(ask_get(other, "k", NULL).outcome, NIGH_MISS);
}

TEST_BOTH(soft_makes_stale_instead_of_gone)
{
    static const char *const tag[] = {"tag"};
    static const enum nigh_target_kind kinds[] = {NIGH_TARGET_TAG, NIGH_TARGET_SPACE,
                                                  NIGH_TARGET_ALL};
    for (int i = 0; i < 3; i++) {
        CHECK_EQ(put_tagged(w, "k", tag, 1), 0);
        CHECK_ANSWER(get(w), NIGH_FRESH, "k");
        CHECK_EQ(target(w, kinds[i], "tag", NIGH_SOFT), 0);
        CHECK_ANSWER(get(w), NIGH_STALE, "k");
        CHECK_EQ(target(w, kinds[i], "tag", 0), 0);
        CHECK_EQ(get(w).outcome, NIGH_MISS);
    }
}

TEST_BOTH(a_mix_is_one_step)
{
    static const char *const tag[] = {"tag"};
    CHECK_EQ(put(w, "v", 0), 0);
    CHECK_EQ(put_tagged(w, "tagged", tag, 1), 0);
    CHECK_EQ(nigh_put(w->space, "other", 5, "v", 1, NULL), 0);
    struct nigh_target mix[] = {
        {.kind = NIGH_TARGET_KEY, .space = w->space, .name = "k", .name_len = 1},
        {.kind = NIGH_TARGET_TAG, .name = "tag", .name_len = 3},
        {.kind = NIGH_TARGET_KEY, .space = w->space, .name = "nothing", .name_len = 7},
    };
    int64_t before = redis ? world_count(w, "sequence") : 0;
    CHECK_EQ(nigh_invalidate_many(w->cache, mix, 3, NULL), 0);
    CHECK_EQ(get(w).outcome, NIGH_MISS);
    CHECK_EQ(ask_get(w->space, "tagged", NULL).outcome, NIGH_MISS);
    CHECK_ANSWER(ask_get(w->space, "other", NULL), NIGH_FRESH, "v");
    if (redis)
        CHECK_EQ(world_count(w, "sequence"), before + 1);
}

TEST_BOTH(thousands_at_once)
{
    enum { COUNT = 4096 };
    static struct nigh_target many[COUNT];
    static char keys[COUNT][8];
    for (int i = 0; i < COUNT; i++) {
        int len = snprintf(keys[i], sizeof(keys[i]), "k%d", i);
        many[i] = (struct nigh_target){.kind = NIGH_TARGET_KEY, .space = w->space,
                                       .name = keys[i], .name_len = (size_t)len};
    }
    CHECK_EQ(nigh_put(w->space, "k0", 2, "v", 1, NULL), 0);
    CHECK_EQ(nigh_put(w->space, "k4095", 5, "v", 1, NULL), 0);
    struct nigh_call call = NIGH_CALL_INIT;
    call.deadline_ms = WORLD_PATIENCE_MS;
    CHECK_EQ(nigh_invalidate_many(w->cache, many, COUNT, &call), 0);
    CHECK_EQ(ask_get(w->space, "k0", NULL).outcome, NIGH_MISS);
    CHECK_EQ(ask_get(w->space, "k4095", NULL).outcome, NIGH_MISS);
}

/* Keys named by their numbers, the last target a tag. */
static int tell_many(struct world *w, size_t keys)
{
    static struct nigh_target many[2 * NIGH_ATOMIC_TARGETS + 2];
    static char names[2 * NIGH_ATOMIC_TARGETS + 1][8];
    struct nigh_call call = NIGH_CALL_INIT;
    call.deadline_ms = WORLD_PATIENCE_MS;
    for (size_t i = 0; i < keys; i++) {
        int len = snprintf(names[i], sizeof(names[i]), "k%zu", i);
        many[i] = (struct nigh_target){.kind = NIGH_TARGET_KEY, .space = w->space,
                                       .name = names[i], .name_len = (size_t)len};
    }
    many[keys] = (struct nigh_target){.kind = NIGH_TARGET_TAG, .name = "tag", .name_len = 3};
    return nigh_invalidate_many(w->cache, many, keys + 1, &call);
}

TEST_BOTH(so_many_targets_are_one_step)
{
    static const struct {
        size_t keys;
        int steps;
    } cases[] = {{NIGH_ATOMIC_TARGETS - 1, 1}, {NIGH_ATOMIC_TARGETS, 2},
                 {2 * NIGH_ATOMIC_TARGETS - 1, 2}, {2 * NIGH_ATOMIC_TARGETS, 3}};
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        int64_t before = redis ? world_count(w, "sequence") : 0;
        CHECK_EQ(nigh_put(w->space, "k0", 2, "v", 1, NULL), 0);
        CHECK_EQ(tell_many(w, cases[i].keys), 0);
        CHECK_EQ(ask_get(w->space, "k0", NULL).outcome, NIGH_MISS);
        if (redis)
            CHECK_EQ(world_count(w, "sequence"), before + 1 + cases[i].steps);
    }
}

/* The last position of any group, in the clock. */
static long long last_of_groups(const struct redis *server)
{
    static const char text[] =
        "local last = 0 "
        "for at = 128, 639, 8 do "
        "    local its = struct.unpack('<I8', redis.call('GETRANGE', KEYS[1], at, at + 7)) "
        "    last = math.max(last, its) "
        "end "
        "return last";
    return redis_integer(server, "EVAL %s 1 nigh:!2:!clk", text);
}

TEST(groups_are_told_before_the_keys_of_a_large_call)
{
    struct world w;
    struct redis server;
    redis_start(&server, NULL);
    patient_open(&w, &server, NULL, NULL);
    CHECK_EQ(tell_many(&w, NIGH_ATOMIC_TARGETS - 1), 0);
    CHECK_EQ(last_of_groups(&server), 1);
    CHECK_EQ(tell_many(&w, 2 * NIGH_ATOMIC_TARGETS), 0);
    CHECK_EQ(world_count(&w, "sequence"), 4);
    CHECK_EQ(last_of_groups(&server), 2);
    world_close(&w);
    redis_stop(&server);
}

TEST_BOTH(one_wrong_target_and_nothing_is_done)
{
    struct nigh_target good = {.kind = NIGH_TARGET_KEY, .space = w->space, .name = "k",
                               .name_len = 1};
    struct world stranger;
    world_open(&stranger, NULL, NULL);
    const struct {
        struct nigh_target t;
        int error;
    } wrong[] = {
        {{.kind = 0, .space = w->space}, NIGH_EINVAL},
        {{.kind = 5, .space = w->space}, NIGH_EINVAL},
        {{.kind = NIGH_TARGET_KEY, .name = "k", .name_len = 1}, NIGH_EINVAL},
        {{.kind = NIGH_TARGET_KEY, .space = stranger.space, .name = "k", .name_len = 1},
         NIGH_EINVAL},
        {{.kind = NIGH_TARGET_KEY, .space = w->space, .name = "k"}, NIGH_EKEY},
        {{.kind = NIGH_TARGET_KEY, .space = w->space, .name_len = 1}, NIGH_EKEY},
        {{.kind = NIGH_TARGET_KEY, .space = w->space, .name = "k", .name_len = 1025}, NIGH_EKEY},
        {{.kind = NIGH_TARGET_TAG}, NIGH_EKEY},
        {{.kind = NIGH_TARGET_SPACE}, NIGH_EINVAL},
    };
    CHECK_EQ(put(w, "v", 0), 0);
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        struct nigh_target two[] = {good, wrong[i].t};
        CHECK_EQ(nigh_invalidate_many(w->cache, two, 2, NULL), wrong[i].error);
    }
    CHECK_EQ(nigh_invalidate_many(w->cache, &good, 0, NULL), NIGH_EINVAL);
    CHECK_EQ(nigh_invalidate_many(w->cache, &good, 4097, NULL), NIGH_EINVAL);
    CHECK_EQ(nigh_invalidate_many(w->cache, NULL, 1, NULL), NIGH_EINVAL);
    CHECK_ANSWER(get(w), NIGH_FRESH, "v");
    world_close(&stranger);
}

/* ---- write ---- */

TEST_BOTH(a_versioned_write_is_stored_an_unversioned_one_deletes)
{
    CHECK_EQ(write_version(w, "seven", 7), 0);
    CHECK_EQ(w->origin.writes, 1);
    struct answer a = get(w);
    CHECK_ANSWER(a, NIGH_FRESH, "seven");
    CHECK_EQ(a.version, 7);
    CHECK_EQ(write_version(w, "more", 0), 0);
    CHECK_EQ(w->origin.writes, 2);
    CHECK_EQ(get(w).outcome, NIGH_MISS);
    CHECK_EQ(write_version(w, "eight", 8), 0);
    CHECK_EQ(write_version(w, NULL, 9), 0); /* a delete, whatever its version */
    CHECK_EQ(w->origin.writes, 4);
    CHECK_EQ(get(w).outcome, NIGH_MISS);
    CHECK_EQ(w->origin.loads, 0);
}

TEST_BOTH(a_write_that_is_not_committed_changes_nothing)
{
    CHECK_EQ(put(w, "old", 0), 0);
    w->origin.refuse_writes = true;
    CHECK_EQ(write_version(w, "new", 0), NIGH_EWRITER);
    CHECK_EQ(write_version(w, "new", 3), NIGH_EWRITER);
    CHECK_EQ(write_version(w, NULL, 0), NIGH_EWRITER);
    CHECK_ANSWER(get(w), NIGH_FRESH, "old");
    w->origin.refuse_writes = false;
    /* Its fence is gone too: the next load may fill. */
    CHECK_EQ(invalidate(w, 0), 0);
    CHECK_ANSWER(ask_fetch(w->space, "k", NULL), NIGH_FRESH, "k=1");
    if (redis)
        CHECK_WITHIN(WORLD_PATIENCE_MS, world_count(w, "l2_fill") == 1);
}

TEST_BOTH(a_space_without_writer_cannot_write)
{
    struct nigh_space *bare;
    REQUIRE_EQ(nigh_space_open(w->cache, "bare", NULL, NULL, NULL, NULL, &bare), 0);
    CHECK_EQ(nigh_write(bare, "k", 1, "v", 1, NULL), NIGH_EINVAL);
    CHECK_EQ(nigh_write(w->space, "k", 1, NULL, 1, NULL), NIGH_EINVAL);
}

TEST_BOTH(a_write_older_than_what_is_there_is_still_a_write)
{
    CHECK_EQ(put(w, "nine", 9), 0);
    CHECK_EQ(write_version(w, "eight", 8), 0); /* committed; what is cached is the cache's matter */
    CHECK_EQ(w->origin.writes, 1);
}

/* A writer during whose commit somebody else changes something. */
static int (*during_write)(struct world *w);

static int busy_writer(void *arg, const struct nigh_write_op *op)
{
    struct world *w = arg;
    CHECK_MEM(op->key, op->key_len, "k", 1);
    return during_write(w);
}

static void change_during_write(struct world *w, int (*change)(struct world *w))
{
    struct nigh_space *space;
    struct nigh_call call = NIGH_CALL_INIT;
    const char *tag = "tag";
    during_write = change;
    call.version = 3;
    call.tags = &tag;
    call.tag_count = 1;
    REQUIRE_EQ(nigh_space_open(w->cache, "busy", NULL, NULL, busy_writer, w, &space), 0);
    w->space = space;
    int rc = nigh_write(space, "k", 1, "three", 5, &call);
    CHECK(rc == 0 || rc == NIGH_REFUSED);
    /* Whether "three" was committed before or after the change nobody here knows: not fresh. */
    CHECK_NE(ask_get(space, "k", NULL).outcome, NIGH_FRESH);
}

TEST_BOTH(a_key_invalidated_during_its_write)
{
    change_during_write(w, invalidate_key);
}

TEST_BOTH(a_tag_invalidated_during_a_write)
{
    change_during_write(w, invalidate_tag);
}

TEST_BOTH(a_space_invalidated_during_a_write)
{
    change_during_write(w, invalidate_space);
}

TEST_BOTH(all_invalidated_during_a_write)
{
    change_during_write(w, invalidate_all);
}

static int soft_all(struct world *w)
{
    return target(w, NIGH_TARGET_ALL, NULL, NIGH_SOFT);
}

TEST_BOTH(all_softly_invalidated_during_a_write)
{
    change_during_write(w, soft_all);
}

/* ---- what a change does to loads ---- */

TEST_BOTH(a_load_below_a_newer_version_is_handed_out_not_stored)
{
    struct asker a;
    origin_hold(&w->origin);
    asker_start(&a, w->space, "k", NULL);
    CHECK_WITHIN(WORLD_PATIENCE_MS, w->origin.running == 1);
    CHECK_EQ(put(w, "new", 3), 0);
    origin_let_go(&w->origin);
    asker_join(&a);
    CHECK_ANSWER(a.answer, NIGH_FRESH, "k=1");
    CHECK_ANSWER(get(w), NIGH_FRESH, "new");
}

/* Does the local step of a put that Redis has stored, and whose own frame came before the answer;
 * between the put's beginning and that frame another call may have invalidated the key here. */
static bool own_frame_lets_pass(struct world *w, bool between)
{
    struct writing writing;
    struct coherence_heard heard;
    CHECK_EQ(writing_init(&writing, w->space, "k", 1, bytes_of_string("v"), NULL), 0);
    struct coherence_item item = writing_item(&writing);
    if (between)
        CHECK_EQ(invalidate(w, 0), 0);
    heard.before = l1_key_floor(w->cache->l1, &writing.draft.key);
    CHECK_EQ(invalidate(w, 0), 0); /* does here what the frame does */
    heard.floor = l1_key_floor(w->cache->l1, &writing.draft.key);
    writing_settle(&writing, &item, true, heard);
    writing_fini(&writing);
    return ask_get(w->space, "k", NULL).outcome == NIGH_FRESH;
}

TEST(an_own_frame_that_came_first_does_not_hide_what_was_invalidated_before_it)
{
    struct world w;
    world_open(&w, NULL, NULL);
    CHECK(own_frame_lets_pass(&w, false));
    CHECK(!own_frame_lets_pass(&w, true));
    world_close(&w);
}
