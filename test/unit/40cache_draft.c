// SPDX-License-Identifier: MIT
// A value on its way in: L1's entry and the envelope in Redis say the same of it.

#include "cache/value/draft.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cache/value/lookup.h"
#include "cache/value/tags.h"
#include "support/origin.h"

/* ---- tags ---- */

TEST(as_many_tags_as_a_value_may_have_are_kept_in_their_order)
{
    struct world w;
    struct tags t = {0};
    char name[16];
    world_open(&w, NULL, NULL);
    struct mem *mem = w.cache->env.mem;
    for (unsigned i = 0; i < NIGH_TAGS_MAX; i++) {
        snprintf(name, sizeof(name), "tag %u", i);
        REQUIRE_EQ(tags_add(&t, mem, name), 0);
    }
    CHECK_EQ(t.count, NIGH_TAGS_MAX);
    CHECK_EQ(tags_add(&t, mem, "one more"), NIGH_ETAGS);
    CHECK_EQ(t.count, NIGH_TAGS_MAX);
    for (unsigned i = 0; i < NIGH_TAGS_MAX; i++) {
        size_t len = (size_t)snprintf(name, sizeof(name), "tag %u", i);
        uint64_t hash = hash_wire(WIRE_TAG, bytes_of("", 0), bytes_of(name, len));
        CHECK_EQ(get_le64(tags_hashes(&t) + 8 * (size_t)i), hash);
    }
    tags_fini(&t, mem);
    CHECK_EQ(t.count, 0);
    CHECK_EQ(tags_add(&t, mem, "again"), 0);
    tags_fini(&t, mem);
    world_close(&w);
}

TEST(what_is_no_tag_is_refused)
{
    struct tags t = {0};
    char longest[NIGH_KEY_MAX + 2] = "";
    memset(longest, 'x', NIGH_KEY_MAX + 1);
    CHECK_EQ(tags_add(&t, NULL, NULL), NIGH_EINVAL);
    CHECK_EQ(tags_add(&t, NULL, ""), NIGH_EINVAL);
    CHECK_EQ(tags_add(&t, NULL, longest), NIGH_EINVAL);
    CHECK_EQ(t.count, 0);
    longest[NIGH_KEY_MAX] = 0;
    CHECK_EQ(tags_add(&t, NULL, longest), 0);
    struct tags copy = t; /* is the list: nothing in it points into `t` */
    t = (struct tags){0};
    CHECK_EQ(get_le64(tags_hashes(&copy)), hash_wire(WIRE_TAG, bytes_of("", 0),
                                                     bytes_of(longest, NIGH_KEY_MAX)));
}

/* ---- one description, two forms ---- */

static struct draft draft_of(struct world *w, struct tags *tags)
{
    struct nigh *cache = w->cache;
    struct draft d = {
        .space = w->space,
        .key = l1_key_of(cache->l1, w->space->id, "k", 1),
        .bytes = bytes_of("value", 5),
        .version = 4711,
        .soft_ms = 60000,
        .stale_ms = 30000,
        .cost_us = 12,
        .ticket = l1_ticket(cache->l1),
        .token = 99,
    };
    if (cache->coherence) {
        d.position = coherence_position(cache->coherence);
        d.home = coherence_home(cache->coherence);
    }
    if (tags) {
        d.tags = tags_hashes(tags);
        d.tag_count = tags->count;
    }
    draft_begin_now(&d);
    return d;
}

static struct l1_entry *entry_of(const struct draft *d)
{
    struct l1_entry *e;
    REQUIRE_EQ(draft_entry(d, &e), 0);
    return e;
}

/* Returns what another node makes of its envelope. */
static struct l1_entry *looked_up(const struct draft *d)
{
    struct lookup found = {.verdict = VERDICT_GONE};
    size_t size = 0;
    void *envelope = draft_envelope(d, &size);
    REQUIRE(envelope);
    struct l2_answer answer = {
        .verdict = L2_VALUE, .value = bytes_of(envelope, size), .home = d->home};
    CHECK_EQ(lookup_answer(d->space, &d->key, d->ticket, &answer, false, &found), 0);
    mem_free(d->space->cache->env.mem, NULL, envelope, size);
    REQUIRE_EQ(found.verdict, VERDICT_FRESH);
    CHECK_EQ(found.fill_id, d->token);
    return found.entry;
}

static void check_near(uint64_t a, uint64_t b)
{
    CHECK_LE(a > b ? a - b : b - a, WORLD_PATIENCE_MS * NS_PER_MS);
}

static void check_alike(const struct l1_entry *a, const struct l1_entry *b)
{
    const uint16_t *a_slots, *b_slots;
    uint32_t count = l1_entry_groups(a, &a_slots);
    struct bytes a_bytes = l1_entry_value(a), b_bytes = l1_entry_value(b);
    if (CHECK_EQ(l1_entry_groups(b, &b_slots), count))
        for (uint32_t i = 0; i < count; i++)
            CHECK_EQ(a_slots[i], b_slots[i]);
    if (CHECK_EQ(a_bytes.len, b_bytes.len))
        CHECK_EQ(memcmp(a_bytes.data, b_bytes.data, a_bytes.len), 0);
    CHECK_EQ(l1_entry_version(a), l1_entry_version(b));
    CHECK_EQ(l1_entry_absent(a), l1_entry_absent(b));
    CHECK_EQ(l1_entry_stamp(a), l1_entry_stamp(b));
    check_near((uint64_t)l1_entry_born_ns(a), (uint64_t)l1_entry_born_ns(b));
    check_near(l1_entry_fresh_until_ns(a), l1_entry_fresh_until_ns(b));
    check_near(l1_entry_stale_until_ns(a), l1_entry_stale_until_ns(b));
}

static void check_both_forms(const struct draft *d)
{
    struct l1_entry *own = entry_of(d), *theirs = looked_up(d);
    check_alike(own, theirs);
    l1_entry_unref(own);
    l1_entry_unref(theirs);
}

TEST(the_entry_and_the_envelope_of_a_value_are_alike)
{
    struct redis server;
    struct world w;
    struct tags tags = {0};
    redis_start(&server, NULL);
    patient_open(&w, &server, NULL, NULL);
    struct mem *mem = w.cache->env.mem;
    struct draft d = draft_of(&w, NULL);
    check_both_forms(&d);
    for (unsigned i = 0; i < 9; i++) {
        char name[16];
        snprintf(name, sizeof(name), "tag %u", i);
        REQUIRE_EQ(tags_add(&tags, mem, name), 0);
        d = draft_of(&w, &tags);
        check_both_forms(&d);
    }
    d.absent = true;
    d.bytes = bytes_of("", 0);
    d.stale_ms = 0;
    check_both_forms(&d);
    tags_fini(&tags, mem);
    world_close(&w);
    redis_stop(&server);
}

/* ---- lifetimes ---- */

TEST(lifetimes_that_began_before_the_clock_end_where_they_must)
{
    struct world w;
    world_open(&w, NULL, NULL);
    struct draft d = draft_of(&w, NULL);
    uint16_t slots[NIGH_TAGS_MAX];
    d.filled_ns = -(int64_t)(70000 * NS_PER_MS);
    d.born_ns = d.filled_ns - 1;
    struct l1_value value = draft_l1_value(&d, slots);
    CHECK_EQ(value.fresh_until_ns, 0);
    CHECK_EQ(value.stale_until_ns, 20000 * NS_PER_MS);
    CHECK_EQ(value.born_ns, d.born_ns);
    d.soft_ms = d.stale_ms = UINT32_MAX;
    value = draft_l1_value(&d, slots);
    CHECK_EQ(value.fresh_until_ns, (UINT32_MAX - UINT64_C(70000)) * NS_PER_MS);
    CHECK_EQ(value.stale_until_ns, (2 * (uint64_t)UINT32_MAX - 70000) * NS_PER_MS);
    world_close(&w);
}

TEST(an_absence_lives_by_its_own_rule_and_is_not_kept)
{
    struct world w;
    struct nigh_options o = world_options(&w);
    struct nigh_space_options so = exact_space();
    so.absent_ttl_ms = 70;
    so.keep_ms = 9000;
    world_open(&w, &o, &so);
    struct draft d = draft_of(&w, NULL);
    draft_set_lifetimes(&d, 0, 0, 0, 0);
    CHECK_EQ(d.soft_ms, 1000);
    CHECK_EQ(d.stale_ms, 500);
    CHECK_EQ(draft_hard_ms(&d), 10500);
    d.absent = true;
    draft_set_lifetimes(&d, 0, 300, 0, 0);
    CHECK_EQ(d.soft_ms, 70);
    CHECK_EQ(d.stale_ms, 0);
    CHECK_EQ(draft_hard_ms(&d), 70);
    draft_set_lifetimes(&d, NIGH_NONE, 0, 0, 0);
    CHECK_EQ(draft_hard_ms(&d), 1); /* what Redis takes */
    world_close(&w);
}

static int load_without_lifetime(struct origin *o, struct nigh_fill *fill)
{
    CHECK_EQ(nigh_fill_set_ttl(fill, NIGH_NONE, NIGH_NONE), 0);
    return origin_answer(o, fill);
}

/* One loaded is handed out and left at that; one that is put takes the place of what was there. */
TEST(a_value_without_any_lifetime_is_in_no_tier)
{
    struct redis server;
    struct world w;
    struct nigh_call call = NIGH_CALL_INIT;
    redis_start(&server, NULL);
    patient_open(&w, &server, NULL, NULL);
    call.soft_ttl_ms = call.stale_ms = NIGH_NONE;
    w.origin.script = load_without_lifetime;
    CHECK_ANSWER(ask_fetch(w.space, "loaded", NULL), NIGH_FRESH, "loaded=1");
    CHECK_EQ(world_count(&w, "l2_fill") + world_count(&w, "l2_fill_error"), 0);
    CHECK_EQ(nigh_put(w.space, "put", 3, "old", 3, NULL), 0);
    CHECK_ANSWER(ask_get(w.space, "put", NULL), NIGH_FRESH, "old");
    CHECK_EQ(nigh_put(w.space, "put", 3, "new", 3, &call), 0);
    CHECK_WITHIN(WORLD_PATIENCE_MS, ask_get(w.space, "put", NULL).outcome == NIGH_MISS);
    world_close(&w);
    redis_stop(&server);
}

/* ---- what a loader confirms ---- */

TEST(a_confirmed_value_keeps_the_slots_of_tags_whose_names_nobody_knows)
{
    struct world w;
    struct tags tags = {0};
    const uint16_t *slots, *own_slots;
    uint16_t own[NIGH_TAGS_MAX];
    world_open(&w, NULL, NULL);
    struct mem *mem = w.cache->env.mem;
    REQUIRE_EQ(tags_add(&tags, mem, "a"), 0);
    REQUIRE_EQ(tags_add(&tags, mem, "b"), 0);
    struct draft d = draft_of(&w, &tags);
    struct l1_entry *plain, *tagged = entry_of(&d);
    CHECK(draft_knows_tags(&d));
    struct draft confirms = draft_of(&w, NULL);
    plain = entry_of(&confirms);
    confirms.confirmed = plain;
    CHECK(draft_knows_tags(&confirms)); /* there are none */
    confirms.confirmed = tagged;
    CHECK(!draft_knows_tags(&confirms));
    REQUIRE_EQ(draft_slots(&confirms, own, &slots), 2);
    REQUIRE_EQ(draft_slots(&d, own, &own_slots), 2);
    CHECK_EQ(memcmp(slots, own_slots, 2 * sizeof(*slots)), 0);
    confirms.tags = tags_hashes(&tags); /* those that it was given count alone */
    confirms.tag_count = 1;
    CHECK(draft_knows_tags(&confirms));
    CHECK_EQ(draft_slots(&confirms, own, &slots), 1);
    l1_entry_unref(plain);
    l1_entry_unref(tagged);
    tags_fini(&tags, mem);
    world_close(&w);
}
