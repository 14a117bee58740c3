// SPDX-License-Identifier: MIT
// Rule 13: own changes of the last seconds are told again to another clock; and a change is queued
// whose clock is another one before its answer has come.

#include "support/clocks.h"
#include "worlds/coherence.h"

/* ---- rule 13: told again ---- */

/* The items of the newest change, as notes. */
static const char *last_change(world *w)
{
    static char joined[1024];
    struct coherence_message m;
    struct coherence_item item;
    joined[0] = '\0';
    REQUIRE(w->log.count > 0);
    const struct world_frame *f = &w->log.frames[w->log.count - 1];
    REQUIRE(coherence_message_decode(bytes_of(f->bytes, f->len), &m));
    while (coherence_message_next(&m, &item)) {
        size_t at = strlen(joined);
        snprintf(joined + at, sizeof(joined) - at, "%s%d%s:%.*s", at ? " " : "", item.kind,
                 item.soft ? "~" : "", (int)item.bytes.len, (const char *)item.bytes.data);
    }
    return joined;
}

TEST(own_changes_are_told_again_to_another_clock)
{
    world w;
    world_open(&w);
    struct coherence_item items[] = {world_key("a"), world_tag("t", false), world_tag("u", true)};
    CHECK_EQ(world_change(&w, items, 3), 0);
    CHECK_EQ(change_key(&w, "b"), 0);
    lead_to(&w, 'b');
    w.seq = 0; /* a replica that had received none of it */
    w.nonce = w.id;
    world_line_clear(&w.log);
    lose_frames(&w);
    beat(&w);
    CHECK_EQ(queued(&w), 0);
    CHECK_EQ(w.seq, 1);
    char expected[64];
    snprintf(expected, sizeof(expected), "%d:a %d:t %d~:u %d:b", WIRE_KEY, WIRE_TAG, WIRE_TAG,
             WIRE_KEY);
    CHECK_STR(last_change(&w), expected);
    CHECK_EQ(w.renewed, 0);
    check_well(&w);
    for (int i = 0; i < 3; i++)
        beat(&w);
    CHECK_EQ(w.seq, 1); /* once */
    CHECK_EQ(stats_read(&w.stats, STATS_INVALIDATE), 4);
    CHECK_EQ(stats_read(&w.stats, STATS_INVALIDATE_AGAIN), 4);
    world_close(&w);
}

static unsigned looks;

/* From the moment in which the new clock is followed L2 counts again. */
static void covered_if_followed(world *w, uint16_t slot, bool soft)
{
    (void)slot, (void)soft;
    if (followed(w) == 0)
        return;
    CHECK(world_covers(w, "a"));
    looks++;
}

TEST(covered_before_the_new_clock_is_followed)
{
    world w;
    world_open(&w);
    CHECK_EQ(change_key(&w, "a"), 0);
    looks = 0;
    w.on_group = covered_if_followed;
    lead_to(&w, 'b');
    beat(&w);
    CHECK_EQ(looks, 1);
    CHECK(!world_covers(&w, "a"));
    world_close(&w);
}

TEST(told_again_within_ten_seconds_and_not_after)
{
    for (unsigned late = 0; late < 2; late++) {
        world w;
        world_open(&w);
        CHECK_EQ(change_key(&w, "a"), 0);
        uint64_t changed_ns = w.fake.now_ns, seq = w.seq;
        fake_env_advance(&w.fake, changed_ns + 8 * NS_PER_S - w.fake.now_ns);
        world_settle(&w);
        lead_to(&w, 'b');
        uint64_t end_ns = changed_ns + 10 * NS_PER_S - !late;
        fake_env_advance(&w.fake, end_ns - w.fake.now_ns);
        world_settle(&w);
        CHECK_EQ(followed(&w), shown(&w));
        CHECK_EQ(w.seq, seq + !late);
        world_close(&w);
    }
}

/* Else who flaps between two servers would tell each all that he has ever changed. */
TEST(what_is_told_again_keeps_its_first_time)
{
    world w;
    world_open(&w);
    CHECK_EQ(change_key(&w, "a"), 0);
    uint64_t changed_ns = w.fake.now_ns, seq = w.seq;
    fake_env_advance(&w.fake, 8 * NS_PER_S);
    world_settle(&w);
    lead_to(&w, 'b');
    beat(&w);
    CHECK_EQ(w.seq, seq + 1);
    fake_env_advance(&w.fake, changed_ns + 10 * NS_PER_S - w.fake.now_ns);
    world_settle(&w);
    lead_to(&w, 'c');
    beat(&w);
    CHECK_EQ(followed(&w), shown(&w));
    CHECK_EQ(w.seq, seq + 1);
    world_close(&w);
}

static uint64_t made_ns;

static void note_made(world *w, const struct coherence_item *item)
{
    (void)w;
    made_ns = item->made_ns;
}

/* It has not waited since then: other nodes were told. */
TEST(what_is_told_again_is_dated_by_its_call_and_has_not_waited)
{
    world w;
    struct coherence_message m;
    world_open(&w);
    CHECK_EQ(change_key(&w, "a"), 0);
    uint64_t changed_ns = w.fake.now_ns, seq = w.seq;
    fake_env_advance(&w.fake, 8 * NS_PER_S);
    world_settle(&w);
    lead_to(&w, 'b');
    w.on_key = note_made;
    beat(&w);
    CHECK_EQ(w.seq, seq + 1);
    CHECK_GE(made_ns, changed_ns);
    CHECK_LE(made_ns, changed_ns + NS_PER_MS);
    const struct world_frame *f = &w.log.frames[w.log.count - 1];
    REQUIRE(coherence_message_decode(bytes_of(f->bytes, f->len), &m));
    CHECK_LT(coherence_call_waited_ms(m.call), 1000);
    world_close(&w);
}

/* Two outages, one soon after the other. */
TEST(what_had_waited_and_is_told_again_is_dated_by_its_call)
{
    world w;
    world_open(&w);
    w.connected = false;
    CHECK_EQ(change_key(&w, "a"), NIGH_QUEUED);
    uint64_t changed_ns = clock_coarse_ns(w.fake.env.clock);
    fake_env_advance(&w.fake, 5 * NS_PER_S);
    world_connect(&w);
    beat(&w);
    uint64_t seq = w.seq;
    lead_to(&w, 'b');
    w.on_key = note_made;
    made_ns = 0;
    beat(&w);
    CHECK_EQ(w.seq, seq + 1);
    CHECK_EQ(made_ns, changed_ns);
    world_close(&w);
}

TEST(nothing_is_told_again_to_the_clock_that_accepted_it)
{
    world w;
    world_open(&w);
    CHECK_EQ(change_key(&w, "a"), 0);
    world_other(&w, world_key("b"));
    world_line_clear(&w.log); /* a resync, of the same clock */
    lose_frames(&w);
    beat(&w);
    CHECK_EQ(stats_read(&w.stats, STATS_RESYNC), 1);
    CHECK_EQ(w.seq, 2);
    CHECK_EQ(queued(&w), 0);
    world_close(&w);
}

TEST(what_was_queued_and_accepted_is_told_again_too)
{
    world w;
    world_open(&w);
    w.connected = false;
    CHECK_EQ(change_key(&w, "a"), NIGH_QUEUED);
    world_connect(&w);
    world_pass(&w, 10);
    CHECK_EQ(queued(&w), 0);
    uint64_t seq = w.seq;
    lead_to(&w, 'b');
    beat(&w);
    CHECK_EQ(w.seq, seq + 1);
    lead_to(&w, 'c');
    beat(&w);
    CHECK_EQ(w.seq, seq + 2); /* and what was told again: once, though noted twice */
    char expected[64];
    snprintf(expected, sizeof(expected), "%d:a", WIRE_KEY);
    CHECK_STR(last_change(&w), expected);
    world_close(&w);
}

TEST(many_changes_are_told_again_in_batches)
{
    world w;
    world_init(&w, 1000);
    world_connect(&w);
    world_pass(&w, 10);
    for (int i = 0; i < 600; i++) {
        char key[16];
        snprintf(key, sizeof(key), "k%d", i);
        CHECK_EQ(change_key(&w, key), 0);
        world_line_clear(&w.log);
        lose_frames(&w);
    }
    lead_to(&w, 'b');
    beat(&w);
    CHECK_EQ(queued(&w), 0);
    CHECK_EQ(w.seq, 603);
    CHECK_EQ(w.slots[GROUP_SLOT_ALL][1], 0);
    world_close(&w);
}

TEST(more_than_the_queue_holds_is_told_as_soft_all)
{
    world w;
    world_open(&w);
    for (int i = 0; i < 65; i++) {
        char key[16];
        snprintf(key, sizeof(key), "k%d", i);
        CHECK_EQ(change_key(&w, key), 0);
        world_line_clear(&w.log);
        lose_frames(&w);
    }
    lead_to(&w, 'b');
    beat(&w);
    CHECK_EQ(w.seq, 66);
    CHECK_EQ(w.slots[GROUP_SLOT_ALL][1], 66);
    CHECK_EQ(stats_read(&w.stats, STATS_INVALIDATE_OVERFLOW), 1);
    world_close(&w);
}

TEST(more_than_is_remembered_is_told_as_soft_all)
{
    static char key[NIGH_KEY_MAX + 1];
    world w;
    world_init(&w, 4096);
    world_connect(&w);
    world_pass(&w, 10);
    memset(key, 'x', NIGH_KEY_MAX);
    for (int i = 0; i < 1100; i++) { /* of 1 KiB each */
        CHECK_EQ(change_key(&w, key), 0);
        world_line_clear(&w.log);
        lose_frames(&w);
    }
    lead_to(&w, 'b');
    beat(&w);
    CHECK_EQ(w.seq, 1101);
    CHECK_EQ(w.slots[GROUP_SLOT_ALL][1], 1101);
    CHECK_EQ(w.slots[GROUP_SLOT_ALL][0], 0);
    world_close(&w);
}

/* ---- a change outlived by its clock ---- */

static char outlived_by;

/* Our script was executed; before its answer is looked at a later one shows this server. */
static void shown_meanwhile(world *w)
{
    struct world_request *r = world_take(w, WORLD_CHANGE);
    char before = w->replid[0];
    world_execute(w, r);
    lead_to(w, outlived_by);
    struct l2_answer later = {.clock = world_clock(w), .order = ++w->order};
    coherence_note(w->c, &later);
    lead_to(w, before); /* as its answer, which points here, was made */
    w->waiting = NULL;
    world_deliver(r, 0);
    lead_to(w, outlived_by);
}

TEST(a_change_outlived_by_its_clock_is_queued)
{
    world w;
    world_open(&w);
    w.waiting = shown_meanwhile;
    outlived_by = 'b';
    CHECK_EQ(change_key(&w, "a"), NIGH_QUEUED);
    CHECK(world_covers(&w, "a"));
    world_pass(&w, 10);
    CHECK_EQ(queued(&w), 0);
    CHECK_EQ(w.seq, 2);
    CHECK_EQ(w.renewed, 0);
    check_well(&w);
    world_close(&w);
}

TEST(a_change_not_outlived_is_accepted)
{
    world w;
    world_open(&w);
    w.waiting = shown_meanwhile;
    outlived_by = 'a';
    CHECK_EQ(change_key(&w, "a"), 0);
    CHECK_EQ(queued(&w), 0);
    CHECK_EQ(w.renewed, 0);
    check_well(&w);
    world_close(&w);
}

TEST(a_batch_outlived_by_its_clock_stays_queued)
{
    world w;
    world_open(&w);
    w.connected = false;
    CHECK_EQ(change_key(&w, "a"), NIGH_QUEUED);
    w.connected = true;
    fake_env_advance(&w.fake, NS_PER_S / 2);
    coherence_tick(w.c);
    outlived_by = 'b';
    shown_meanwhile(&w);
    coherence_tick(w.c);
    CHECK_EQ(queued(&w), 1);
    CHECK(world_covers(&w, "a"));
    world_pass(&w, 200);
    CHECK_EQ(queued(&w), 0);
    CHECK_EQ(w.seq, 2);
    world_close(&w);
}
