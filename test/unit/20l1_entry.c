// SPDX-License-Identifier: MIT
// An entry gives back what it was made of, and its memory when the last holder lets go.

#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "support/l1_cache.h"

static const uint16_t tags[] = {1024, 2000, 2047};

static struct l1_entry *create(struct cache *c, const struct l1_value *value)
{
    struct name name;
    struct l1_key key = cache_key(c, &name, 1);
    struct l1_entry *e;
    REQUIRE_EQ(l1_entry_create(c->l1, &key, value, &e), 0);
    return e;
}

TEST(every_field_comes_back)
{
    struct cache c;
    cache_open(&c, 1 << 20, 1);
    struct l1_value v = {.bytes = bytes_of("value", 5),
                         .stamp = 12345678901,
                         .born_ns = 100 * NS_PER_S,
                         .fresh_until_ns = 110 * NS_PER_S,
                         .stale_until_ns = 110 * NS_PER_S + 500 * NS_PER_MS,
                         .version = UINT64_MAX,
                         .groups = tags,
                         .group_count = 3};
    struct l1_entry *e = create(&c, &v);
    CHECK(!l1_entry_loose(e));
    CHECK_EQ(l1_entry_stamp(e), v.stamp);
    CHECK_EQ(l1_entry_version(e), v.version);
    CHECK(!l1_entry_absent(e));
    const uint16_t *groups;
    REQUIRE_EQ(l1_entry_groups(e, &groups), 3);
    CHECK_MEM(groups, sizeof(tags), tags, sizeof(tags));
    struct bytes key = l1_entry_key(e), value = l1_entry_value(e);
    CHECK_MEM(key.data, key.len, "key:00000001", 12);
    CHECK_MEM(value.data, value.len, "value", 5);
    l1_entry_unref(e);
    cache_audit(&c);
    cache_close(&c);
}

TEST(a_plain_value_has_no_extension)
{
    struct cache c;
    cache_open(&c, 1 << 20, 1);
    struct l1_value v = cache_value(&c, "x", 1);
    struct l1_entry *e = create(&c, &v);
    const uint16_t *groups;
    CHECK_EQ(entry_size(e), sizeof(struct l1_entry) + 12 + 1);
    CHECK_EQ(l1_entry_version(e), 0);
    CHECK_EQ(l1_entry_groups(e, &groups), 0);
    l1_entry_unref(e);

    v = cache_value(&c, "x", 1); /* an absence has no value, whoever says so */
    v.flags = L1_ABSENT;
    e = create(&c, &v);
    CHECK(l1_entry_absent(e));
    CHECK_EQ(l1_entry_value(e).len, 0);
    CHECK_EQ(entry_size(e), sizeof(struct l1_entry) + 12);
    l1_entry_unref(e);
    cache_audit(&c);
    cache_close(&c);
}

/* Its slot lies in the header. */
TEST(one_tag_needs_no_extension)
{
    struct cache c;
    cache_open(&c, 1 << 20, 1);
    struct l1_value v = cache_value(&c, "x", 1);
    const uint16_t *groups;
    v.groups = tags;
    v.group_count = 1;
    struct l1_entry *e = create(&c, &v);
    CHECK_EQ(entry_size(e), sizeof(struct l1_entry) + 12 + 1);
    REQUIRE_EQ(l1_entry_groups(e, &groups), 1);
    CHECK_EQ(groups[0], tags[0]);
    l1_entry_unref(e);

    v.version = 7; /* in the extension; the tag stays where it is */
    e = create(&c, &v);
    CHECK_EQ(l1_entry_version(e), 7);
    REQUIRE_EQ(l1_entry_groups(e, &groups), 1);
    CHECK_EQ(groups[0], tags[0]);
    struct l1_entry *copy = entry_copy(c.l1, e);
    REQUIRE(copy != NULL);
    CHECK(l1_entry_version(copy) == 7 && l1_entry_groups(copy, &groups) == 1);
    CHECK_EQ(groups[0], tags[0]);
    l1_entry_unref(copy);
    l1_entry_unref(e);

    v.group_count = 2;
    v.version = 0;
    e = create(&c, &v);
    REQUIRE_EQ(l1_entry_groups(e, &groups), 2);
    CHECK_MEM(groups, 2 * sizeof(tags[0]), tags, 2 * sizeof(tags[0]));
    l1_entry_unref(e);
    cache_audit(&c);
    cache_close(&c);
}

/* Each field of the label as large as it gets, and one less: none reaches into the next. */
TEST(a_label_has_room_for_the_largest)
{
    struct cache c;
    fake_env_init(&c.fake, check_seed());
    struct l1_config config = cache_config(&c, 8 << 20, 1);
    config.group_slots = GROUP_SLOTS_MAX;
    cache_open_config(&c, config);
    uint8_t *bytes = calloc(NIGH_VALUE_MAX, 1);
    REQUIRE(bytes != NULL);
    uint8_t *text = bytes + NIGH_VALUE_MAX - NIGH_KEY_MAX;
    for (unsigned less = 0; less <= 8; less = less ? 2 * less : 1) {
        uint16_t tag = GROUP_SLOTS_MAX - 1 - (less & 1);
        uint32_t id = L1_SPACES_MAX - (less >> 1 & 1), key_len = NIGH_KEY_MAX - (less >> 2 & 1);
        size_t len = NIGH_VALUE_MAX - (less >> 3), got = 0;
        struct l1_space space;
        l1_space_init(c.l1, id, GROUP_SLOT_TAGS - 1, &space);
        struct l1_key key = l1_key_of(c.l1, id, text, key_len);
        struct l1_value v = cache_value(&c, bytes, len);
        const uint16_t *groups;
        struct l1_entry *e;
        v.groups = &tag;
        v.group_count = 1;
        REQUIRE_EQ(l1_entry_create(c.l1, &key, &v, &e), 0);
        CHECK(l1_is_value(&space, e, text, key_len, &got) && got == len);
        CHECK(!l1_is_value(&space, e, text, key_len ^ 1, &got));
        CHECK(!l1_entry_absent(e) && l1_entry_value(e).len == len);
        CHECK(entry_space(e) == id && l1_entry_key(e).len == key_len);
        CHECK(l1_entry_groups(e, &groups) == 1 && groups[0] == tag);
        CHECK_EQ(entry_size(e), sizeof(*e) + key_len + len);
        l1_entry_unref(e);
        v.flags = L1_ABSENT;
        REQUIRE_EQ(l1_entry_create(c.l1, &key, &v, &e), 0);
        CHECK(!l1_is_value(&space, e, text, key_len, &got));
        CHECK(l1_entry_absent(e) && entry_space(e) == id && l1_entry_key(e).len == key_len);
        CHECK(l1_entry_groups(e, &groups) == 1 && groups[0] == tag);
        l1_entry_unref(e);
    }
    free(bytes);
    cache_close(&c);
}

/* What the header promises: never later than asked for, and hardly earlier. */
static void check_times(struct cache *c, uint64_t born_ns, uint64_t fresh_ns, uint64_t stale_ns)
{
    struct l1_value v = cache_value(c, "x", 1);
    v.born_ns = born_ns;
    v.fresh_until_ns = born_ns + fresh_ns;
    v.stale_until_ns = v.fresh_until_ns + stale_ns;
    struct l1_entry *e = create(c, &v);
    uint64_t tick = UINT64_C(1) << ENTRY_TICK_SHIFT;
    CHECK_LE(l1_entry_born_ns(e), born_ns);
    CHECK_GT(l1_entry_born_ns(e) + tick, born_ns);
    CHECK_LE(l1_entry_fresh_until_ns(e), v.fresh_until_ns);
    CHECK_GE(l1_entry_fresh_until_ns(e) + tick + fresh_ns / 32768, v.fresh_until_ns);
    CHECK_LE(l1_entry_stale_until_ns(e), v.stale_until_ns);
    CHECK_GE(l1_entry_stale_until_ns(e) + 2 * tick + (stale_ns + fresh_ns / 32768) / 1024,
             v.stale_until_ns);
    l1_entry_unref(e);
}

TEST(times_are_rounded_down_within_their_bounds)
{
    struct cache c;
    cache_open(&c, 1 << 20, 1);
    uint64_t random = check_seed();
    for (int i = 0; i < 20000; i++) {
        uint64_t born_ns = check_random(&random) >> 8; /* up to 2 years */
        uint64_t fresh_ns = check_random(&random) >> (8 + check_random(&random) % 50);
        uint64_t stale_ns = check_random(&random) >> (8 + check_random(&random) % 50);
        check_times(&c, born_ns, fresh_ns, stale_ns);
    }
    check_times(&c, 0, 0, 0);
    cache_close(&c);
}

/* nigh_clock_fn promises it. The kernel's clock may go on for a year more. */
TEST(a_hosts_clock_may_go_on_for_7_years)
{
    uint64_t year_ns = UINT64_C(366) * 86400 * NS_PER_S;
    uint64_t longest_ns = 2 * UINT64_C(1000000) * NIGH_LIFETIME_MAX_MS; /* with any jitter */
    struct cache c;
    cache_open(&c, 1 << 20, 1);
    check_times(&c, CLOCK_HOOK_START_NS + 7 * year_ns, longest_ns, longest_ns);
    cache_close(&c);
}

TEST(for_ever_stays_for_ever)
{
    struct cache c;
    cache_open(&c, 1 << 20, 1);
    struct l1_value v = cache_value(&c, "x", 1);
    uint64_t years_9_ns = 9 * UINT64_C(365) * 86400 * NS_PER_S;
    struct l1_entry *e = create(&c, &v);
    CHECK_GT(l1_entry_fresh_until_ns(e), years_9_ns);
    CHECK_GT(l1_entry_stale_until_ns(e), 4 * years_9_ns);
    CHECK_LE(l1_entry_born_ns(e), v.born_ns);
    CHECK_GT(l1_entry_born_ns(e) + (UINT64_C(1) << ENTRY_TICK_SHIFT), v.born_ns);
    l1_entry_unref(e);

    v.fresh_until_ns = v.born_ns - 1; /* from L2, long out of date */
    v.stale_until_ns = 0;
    e = create(&c, &v);
    CHECK_EQ(l1_entry_fresh_until_ns(e), l1_entry_born_ns(e));
    CHECK_EQ(l1_entry_stale_until_ns(e), l1_entry_born_ns(e));
    l1_entry_unref(e);
    cache_close(&c);
}

/* Values from L2 are so, on a machine that has just been started. */
TEST(a_birth_before_the_clock_began_is_kept)
{
    const int64_t tick = INT64_C(1) << ENTRY_TICK_SHIFT, day_ns = 86400 * (int64_t)NS_PER_S;
    const int64_t ages[] = {1, tick, day_ns, 149 * day_ns, 3650 * day_ns};
    struct cache c;
    cache_open(&c, 1 << 20, 1);
    for (size_t i = 0; i < ARRAY_COUNT(ages); i++) {
        struct l1_value v = cache_value(&c, "x", 1);
        v.born_ns = -ages[i];
        v.fresh_until_ns = (uint64_t)(100 * tick + ages[i] / 16384);
        v.stale_until_ns = v.fresh_until_ns + 100 * (uint64_t)tick;
        struct l1_entry *e = create(&c, &v);
        int64_t life = ages[i] + (int64_t)v.fresh_until_ns;
        CHECK_LE(l1_entry_born_ns(e), v.born_ns);
        CHECK_GT(l1_entry_born_ns(e) + tick, v.born_ns);
        CHECK_LE(l1_entry_fresh_until_ns(e), v.fresh_until_ns);
        CHECK_GE((int64_t)l1_entry_fresh_until_ns(e),
                 (int64_t)v.fresh_until_ns - 2 * tick - life / 32768);
        l1_entry_unref(e);

        v.fresh_until_ns = v.stale_until_ns = 0; /* over before the clock began */
        e = create(&c, &v);
        CHECK_EQ(l1_entry_fresh_until_ns(e), 0);
        CHECK_EQ(l1_entry_stale_until_ns(e), 0);
        CHECK_LE(v.born_ns, l1_entry_born_ns(e) + tick);
        CHECK_GE(v.born_ns + tick + ages[i] / 32768, l1_entry_born_ns(e));
        l1_entry_unref(e);
    }
    cache_close(&c);
}

TEST(unstored_entries_are_charged_until_the_last_unref)
{
    struct cache c;
    cache_open(&c, 1 << 20, 1);
    struct l1_value v = cache_value(&c, "hello", 5);
    struct l1_entry *e = create(&c, &v);
    uint64_t bytes = mem_charge(c.l1->mem, entry_size(e));
    CHECK_EQ(cache_gauges(&c).unstored_bytes, bytes);
    cache_audit(&c);
    l1_entry_ref(e);
    l1_entry_unref(e);
    CHECK_EQ(cache_gauges(&c).unstored_bytes, bytes);
    l1_entry_unref(e);
    CHECK_EQ(cache_gauges(&c).unstored_bytes, 0);
    CHECK_EQ(cache_gauges(&c).used_bytes, cache_gauges(&c).tables_bytes);
    cache_close(&c);
}

/* The last unref of an inherited entry changes nothing; of one of a cache of its own it frees. */
static int child_of_fork(struct cache *parents, struct l1_entry *inherited)
{
    uint64_t bytes = cache_gauges(parents).unstored_bytes;
    l1_entry_unref(inherited);
    struct bytes text = l1_entry_value(inherited);
    if (cache_gauges(parents).unstored_bytes != bytes || memcmp(text.data, "hello", 5) != 0)
        return 1;
    struct cache own;
    cache_open(&own, 1 << 20, 1);
    if (own.l1->id == parents->l1->id)
        return 2;
    struct l1_value v = cache_value(&own, "world", 5);
    struct l1_entry *e = create(&own, &v);
    l1_entry_unref(e);
    return cache_gauges(&own).unstored_bytes == 0 ? 0 : 3;
}

TEST(a_child_of_fork_may_let_go_of_what_it_inherited)
{
    struct cache c;
    cache_open(&c, 1 << 20, 1);
    struct l1_value v = cache_value(&c, "hello", 5);
    struct l1_entry *e = create(&c, &v);
    pid_t pid = fork();
    if (pid == 0)
        _exit(child_of_fork(&c, e));
    int status = -1;
    REQUIRE(pid > 0);
    CHECK_EQ(waitpid(pid, &status, 0), pid);
    CHECK_EQ(status, 0);
    CHECK_GT(cache_gauges(&c).unstored_bytes, 0);
    l1_entry_unref(e);
    CHECK_EQ(cache_gauges(&c).unstored_bytes, 0);
    cache_close(&c);
}

TEST(an_entry_too_large_to_store_is_loose)
{
    struct cache c;
    cache_open(&c, 1 << 20, 1);
    static char large[256 << 10];
    struct l1_value v = cache_value(&c, large, sizeof(large));
    struct l1_entry *e = create(&c, &v);
    CHECK(l1_entry_loose(e));
    CHECK_EQ(cache_gauges(&c).unstored_bytes, 0);
    struct name name;
    struct l1_key key = cache_key(&c, &name, 1);
    CHECK_EQ(l1_store(c.l1, &key, e), L1_REFUSED_FULL);
    struct nigh_value held;
    l1_pin_ref(e, NIGH_TIER_LOADER, &held);
    l1_entry_unref(e);
    CHECK_EQ(held.len, sizeof(large));
    CHECK_MEM(held.data, held.len, large, sizeof(large));
    l1_unpin(held.pin);
    cache_audit(&c);
    cache_close(&c);
}

/* ---- those that share an allocation ---- */

enum { SHARING = 40 };

static struct l1_entry *create_shared(struct cache *c, struct l1_shared *shared, uint32_t i)
{
    struct name name;
    char text[SHARING];
    struct l1_key key = cache_key(c, &name, i);
    struct l1_value v = cache_value(c, memset(text, 'a', sizeof(text)), i);
    struct l1_entry *e;
    v.version = i % 3 ? 0 : i;
    v.groups = tags;
    v.group_count = i % 2 ? 3 : 0;
    REQUIRE_EQ(l1_entry_create_loose(c->l1, &key, &v, shared, &e), 0);
    return e;
}

static void check_whole(const struct l1_entry *e, uint32_t i)
{
    const uint16_t *groups;
    char name[16];
    snprintf(name, sizeof(name), "key:%08u", i);
    CHECK(l1_entry_loose(e));
    CHECK_MEM(l1_entry_key(e).data, l1_entry_key(e).len, name, 12);
    CHECK_EQ(l1_entry_value(e).len, i);
    CHECK_EQ(l1_entry_version(e), i % 3 ? 0 : i);
    CHECK_EQ(l1_entry_groups(e, &groups), i % 2 ? 3 : 0);
}

/* `room`: of what they want; the others have memory of their own. */
static void share(struct cache *c, size_t room, bool end_first)
{
    struct l1_entry *e[SHARING];
    struct l1_shared *shared = l1_shared_create(c->l1, SHARING / 2, room);
    REQUIRE(shared);
    for (uint32_t i = 0; i < SHARING; i++)
        e[i] = create_shared(c, shared, i);
    if (end_first)
        l1_shared_end(shared);
    for (uint32_t n = 0; n < SHARING; n++) {
        uint32_t i = n * 17 % SHARING; /* in no order */
        check_whole(e[i], i);
        l1_entry_unref(e[i]);
    }
    if (!end_first)
        l1_shared_end(shared);
}

TEST(loose_entries_share_an_allocation_and_are_let_go_in_any_order)
{
    struct cache c;
    cache_open(&c, 1 << 20, 1);
    for (size_t room = 0; room < 4000; room += 500) {
        share(&c, room, true);
        share(&c, room, false);
    }
    l1_shared_end(l1_shared_create(c.l1, 1, 0));
    l1_shared_end(NULL);
    cache_audit(&c);
    cache_close(&c);
}
