// SPDX-License-Identifier: MIT
// Invalidations that Redis has not accepted: applied here, covered, retried, and in what order.

#include "worlds/coherence.h"

static void change_key(world *w, const char *key, int expected)
{
    struct coherence_item item = world_key(key);
    CHECK_EQ(world_change(w, &item, 1), expected);
}

static bool covers_tag(world *w, const char *key, const char *tag)
{
    uint8_t group[8];
    struct coherence_item item = world_tag(tag, false);
    put_le64(group, coherence_item_hash(&item));
    return coherence_queued_covers(w->c, bytes_of_string("s"), bytes_of_string(key), group, 1);
}

/* ---- queued invalidation while L2 answers: nil while queued ---- */

TEST(queued_is_applied_and_covered)
{
    world w;
    world_open(&w);
    CHECK(!world_covers(&w, "a"));
    w.connected = false;
    struct coherence_item items[] = {world_key("a"), world_tag("t", false)};
    CHECK_EQ(world_change(&w, items, 2), NIGH_QUEUED);
    char expected[64];
    snprintf(expected, sizeof(expected), "key s/a %s", world_tag_note("t", false));
    CHECK_STR(world_notes(&w), expected);
    CHECK(world_covers(&w, "a"));
    CHECK(!world_covers(&w, "b"));
    CHECK(covers_tag(&w, "b", "t"));
    CHECK(!covers_tag(&w, "b", "u"));
    CHECK_EQ(world_queued(&w), 2);
    CHECK_EQ(stats_read(&w.stats, STATS_INVALIDATE_QUEUED), 2);
    CHECK_EQ(stats_read(&w.stats, STATS_INVALIDATE), 0);
    world_close(&w);
}

TEST(spaces_and_all_cover_their_keys)
{
    world w;
    world_open(&w);
    w.connected = false;
    struct coherence_item space = {.kind = WIRE_SPACE, .space = bytes_of_string("s")};
    CHECK_EQ(world_change(&w, &space, 1), NIGH_QUEUED);
    CHECK(world_covers(&w, "anything"));
    struct bytes elsewhere = bytes_of_string("elsewhere");
    CHECK(!coherence_queued_covers(w.c, elsewhere, elsewhere, NULL, 0));
    struct coherence_item all = {.kind = WIRE_ALL};
    CHECK_EQ(world_change(&w, &all, 1), NIGH_QUEUED);
    CHECK(coherence_queued_covers(w.c, elsewhere, elsewhere, NULL, 0));
    world_close(&w);
}

static void covered_now(world *w, const struct coherence_item *item)
{
    (void)item;
    CHECK(world_covers(w, "a"));
}

static void covered_now_group(world *w, uint16_t slot, bool soft)
{
    (void)slot, (void)soft;
    CHECK(covers_tag(w, "a", "t"));
}

/* Who has a ticket above the floor must find it covered: the queue comes before the floor, and is
 * left after the second one. */
TEST(covered_whenever_a_floor_is_raised)
{
    world w;
    world_open(&w);
    w.on_key = covered_now;
    w.on_group = covered_now_group;
    w.connected = false;
    struct coherence_item items[] = {world_key("a"), world_tag("t", false)};
    CHECK_EQ(world_change(&w, items, 2), NIGH_QUEUED);
    world_notes(&w);
    world_connect(&w);
    world_pass(&w, 10);
    char expected[64];
    snprintf(expected, sizeof(expected), "key s/a %s", world_tag_note("t", false));
    CHECK_STR(world_notes(&w), expected); /* again, when accepted */
    CHECK_EQ(world_queued(&w), 0);
    world_close(&w);
}

TEST(accepted_groups_have_their_position_before_the_queue_is_left)
{
    world w;
    world_open(&w);
    w.connected = false;
    struct coherence_item item = world_tag("t", false);
    CHECK_EQ(world_change(&w, &item, 1), NIGH_QUEUED);
    CHECK_EQ(world_judge(&w, 0, "t"), COHERENCE_FRESH); /* no position: the queue covers it */
    world_connect(&w);
    world_pass(&w, 10);
    CHECK(!covers_tag(&w, "a", "t"));
    CHECK_EQ(world_judge(&w, 0, "t"), COHERENCE_GONE);
    CHECK_EQ(world_applied(&w), 1);
    world_notes(&w);
    world_hear(&w);
    CHECK_STR(world_notes(&w), ""); /* our own frame */
    world_close(&w);
}

/* ---- unknown outcomes ---- */

static void executed_and_lost(world *w)
{
    struct world_request *r = world_take(w, WORLD_CHANGE);
    world_execute(w, r);
    world_deliver(r, NIGH_ETIMEDOUT);
}

TEST(unknown_outcome_is_queued_and_its_frame_applied)
{
    world w;
    world_open(&w);
    w.waiting = executed_and_lost;
    struct coherence_item item = world_tag("t", false);
    CHECK_EQ(world_change(&w, &item, 1), NIGH_QUEUED);
    CHECK_STR(world_notes(&w), world_tag_note("t", false));
    world_hear(&w); /* the call is not finished: its position is news */
    CHECK_STR(world_notes(&w), world_tag_note("t", false));
    CHECK_EQ(world_judge(&w, 0, "t"), COHERENCE_GONE);
    world_pass(&w, 10);
    CHECK_EQ(world_queued(&w), 0);
    CHECK_EQ(w.seq, 2); /* issued again */
    world_close(&w);
}

/* How long ago the keys were changed that the sink was told of, in seconds: "a-3 b-1". */
static char dates[256];

static void note_date(world *w, const struct coherence_item *item)
{
    size_t len = strlen(dates);
    uint64_t ago_ns = clock_coarse_ns(w->fake.env.clock) - item->made_ns;
    snprintf(dates + len, sizeof(dates) - len, "%s%.*s-%u", len ? " " : "", (int)item->bytes.len,
             (const char *)item->bytes.data, (unsigned)(ago_ns / NS_PER_S));
}

static const char *dates_told(void)
{
    static char taken[sizeof(dates)];
    memcpy(taken, dates, sizeof(taken));
    dates[0] = '\0';
    return taken;
}

static void late_and_lost(world *w)
{
    fake_env_advance(&w->fake, NS_PER_S);
    executed_and_lost(w);
}

static void late(world *w)
{
    fake_env_advance(&w->fake, NS_PER_S);
    CHECK(world_serve_one(w, WORLD_CHANGE));
}

TEST(a_call_that_took_long_is_dated_by_its_beginning)
{
    world w;
    world_open(&w);
    dates[0] = '\0';
    w.on_key = note_date;
    w.waiting = late;
    change_key(&w, "a", 0);
    CHECK_STR(dates_told(), "a-1");
    w.waiting = late_and_lost;
    change_key(&w, "a", NIGH_QUEUED);
    CHECK_STR(dates_told(), "a-1");
    world_close(&w);
}

/* Whenever it is applied once more, it is dated by the call: as the queue gets it accepted, and as
 * the frame of the first attempt comes behind that, by the log. */
TEST(a_change_that_waited_is_dated_by_its_call)
{
    world w;
    world_open(&w);
    dates[0] = '\0';
    w.on_key = note_date;
    w.waiting = executed_and_lost;
    change_key(&w, "a", NIGH_QUEUED);
    CHECK_STR(dates_told(), "a-0");
    fake_env_advance(&w.fake, 2 * NS_PER_S);
    change_key(&w, "b", NIGH_QUEUED);
    CHECK_STR(dates_told(), "b-0");
    fake_env_advance(&w.fake, NS_PER_S);
    coherence_tick(w.c);
    struct world_request *r = world_take(&w, WORLD_CHANGE);
    REQUIRE(r);
    world_execute(&w, r);
    world_deliver(r, 0);
    coherence_tick(w.c);
    CHECK_EQ(world_queued(&w), 0);
    CHECK_STR(dates_told(), "a-3 b-1");
    fake_env_advance(&w.fake, NS_PER_S);
    world_hear(&w);
    CHECK_STR(dates_told(), "a-4 b-2"); /* of the calls; that of the batch is done */
    world_close(&w);
}

/* Made twice it is dated by the last call, and has waited since the first. A frame has one time for
 * all its items: the sink, too, knows the later ones. */
TEST(a_change_that_waited_twice_is_dated_by_the_last_call)
{
    world w;
    world_open(&w);
    dates[0] = '\0';
    w.connected = false;
    change_key(&w, "a", NIGH_QUEUED);
    change_key(&w, "b", NIGH_QUEUED);
    fake_env_advance(&w.fake, 2 * NS_PER_S);
    change_key(&w, "a", NIGH_QUEUED);
    w.on_key = note_date;
    world_connect(&w);
    fake_env_advance(&w.fake, NS_PER_S);
    coherence_tick(w.c);
    struct world_request *r = world_take(&w, WORLD_CHANGE);
    REQUIRE(r);
    world_execute(&w, r);
    world_deliver(r, NIGH_ETIMEDOUT);
    coherence_tick(w.c);
    CHECK_EQ(world_queued(&w), 2);
    world_hear(&w);
    CHECK_STR(dates_told(), "a-3 b-3");
    world_pass(&w, 100);
    CHECK_EQ(world_queued(&w), 0);
    CHECK_STR(dates_told(), "a-1 b-3");
    world_close(&w);
}

static unsigned stored_seen[2];
static struct coherence_heard heard_last; /* by the last local step */

static uint64_t local_key(void *arg, const struct coherence_item *item, bool stored,
                          struct coherence_heard heard)
{
    (void)item;
    stored_seen[stored]++;
    heard_last = heard;
    world_note(arg, "own");
    return 0;
}

static int write_keys(world *w, enum l2_change_mode mode, uint32_t count)
{
    struct coherence_item items[] = {world_key("a"), world_key("b")};
    static struct coherence_schema schema;
    struct coherence_write write = {.schema = &schema, .mode = mode, .token = 5, .hard_ms = 1000};
    struct coherence_write writes[] = {write, write};
    struct coherence_change change = {
        .items = items,
        .item_count = count,
        .writes = writes,
        .deadline_ns = clock_deadline_ns(w->fake.env.clock, 250),
        .local_key = local_key,
        .local_arg = w,
    };
    return coherence_change(w->c, &change, NULL);
}

static int write_key(world *w, enum l2_change_mode mode)
{
    return write_keys(w, mode, 1);
}

TEST(writes_do_their_own_local_step)
{
    world w;
    world_open(&w);
    stored_seen[0] = stored_seen[1] = 0;
    CHECK_EQ(write_key(&w, L2_SET_TOKEN), 0);
    CHECK_EQ(stored_seen[true], 1);
    CHECK_STR(world_notes(&w), "own");

    w.refuse_newer = true;
    CHECK_EQ(write_key(&w, L2_SET_NEWER), NIGH_REFUSED);
    CHECK_EQ(stored_seen[false], 1);
    CHECK_STR(world_notes(&w), "own"); /* what is older goes all the same */
    stored_seen[false] = 0;

    w.waiting = executed_and_lost;
    CHECK_EQ(write_key(&w, L2_SET_TOKEN), NIGH_QUEUED);
    CHECK_EQ(stored_seen[false], 1);
    CHECK_STR(world_notes(&w), "own");
    CHECK_EQ(world_queued(&w), 1);
    fake_env_advance(&w.fake, 10 * NS_PER_MS);
    coherence_tick(w.c);
    struct world_request *r = world_take(&w, WORLD_CHANGE);
    REQUIRE(r);
    CHECK_EQ(r->mode, L2_DELETE); /* a retry has no value any more */
    CHECK_STR(r->schema, "v1");
    world_execute(&w, r);
    world_deliver(r, 0);
    world_settle(&w);
    CHECK_STR(world_notes(&w), "key s/a");
    world_close(&w);
}

/* Executed, and heard, before the answer comes; then another node's change, if there is one. */
static const char *other_key;

static void heard_first(world *w)
{
    struct world_request *r = world_take(w, WORLD_CHANGE);
    world_execute(w, r);
    if (other_key)
        world_other(w, world_key(other_key));
    world_hear(w);
    world_deliver(r, 0);
}

/* Else its own frame would keep half of what is put out of L1. */
TEST(an_own_frame_that_comes_first_does_not_stand_in_the_way)
{
    world w;
    world_open(&w);
    w.waiting = heard_first;
    other_key = NULL;
    CHECK_EQ(write_key(&w, L2_SET_TOKEN), 0);
    CHECK_STR(world_notes(&w), "key s/a own");
    CHECK_EQ(heard_last.floor, w.floors);
    CHECK_EQ(heard_last.before, w.floors - 1);
    other_key = "a"; /* the floor of the key is then above what the own frame raised */
    CHECK_EQ(write_key(&w, L2_SET_TOKEN), 0);
    CHECK_STR(world_notes(&w), "key s/a key s/a own");
    CHECK_EQ(heard_last.floor, w.floors - 1);
    CHECK_EQ(heard_last.before, w.floors - 2);
    w.waiting = NULL;
    CHECK_EQ(write_key(&w, L2_SET_TOKEN), 0);
    CHECK_EQ(heard_last.floor, 0);
    CHECK_EQ(heard_last.before, 0);
    world_close(&w);
}

/* All keys of this world share one floor, as some of a large put do elsewhere: what one of them has
 * raised is no change that came before the frame. */
TEST(keys_of_an_own_frame_that_comes_first_do_not_stand_in_each_others_way)
{
    world w;
    world_open(&w);
    w.waiting = heard_first;
    other_key = NULL;
    uint64_t before = w.floors;
    CHECK_EQ(write_keys(&w, L2_SET_TOKEN, 2), 0);
    CHECK_STR(world_notes(&w), "key s/a key s/b own own");
    CHECK_EQ(heard_last.floor, w.floors);
    CHECK_EQ(heard_last.before, before);
    world_close(&w);
}

/* ---- bounded, deduplicated ---- */

TEST(queued_twice_is_one)
{
    world w;
    world_open(&w);
    w.connected = false;
    struct coherence_item older = world_key("a"), newer = older;
    older.version = 5;
    newer.version = 7;
    CHECK_EQ(world_change(&w, &older, 1), NIGH_QUEUED);
    CHECK_EQ(world_change(&w, &newer, 1), NIGH_QUEUED);
    CHECK_EQ(world_queued(&w), 1);
    struct coherence_item soft = world_tag("t", true), hard = world_tag("t", false);
    CHECK_EQ(world_change(&w, &hard, 1), NIGH_QUEUED);
    CHECK_EQ(world_change(&w, &soft, 1), NIGH_QUEUED);
    CHECK_EQ(world_queued(&w), 2);

    struct coherence_batch *batch = w.c->retry->batch;
    coherence_batch_fill(w.c, batch, 0);
    REQUIRE_EQ(batch->count, 2);
    CHECK_EQ(batch->items[0].version, 7);
    CHECK(!batch->items[1].soft);
    change_key(&w, "a", NIGH_QUEUED);
    coherence_batch_fill(w.c, batch, 0);
    CHECK_EQ(batch->items[0].version, 0); /* whatever its version */
    world_close(&w);
}

TEST(named_again_while_an_attempt_is_on_its_way)
{
    world w;
    world_open(&w);
    w.connected = false;
    change_key(&w, "a", NIGH_QUEUED);
    change_key(&w, "b", NIGH_QUEUED);
    world_connect(&w);
    fake_env_advance(&w.fake, 10 * NS_PER_MS);
    coherence_tick(w.c);
    struct world_request *r = world_take(&w, WORLD_CHANGE);
    REQUIRE(r);
    world_execute(&w, r);
    w.connected = false;
    change_key(&w, "a", NIGH_QUEUED); /* committed after that script */
    world_deliver(r, 0);
    coherence_tick(w.c);
    CHECK_EQ(world_queued(&w), 1);
    CHECK(world_covers(&w, "a"));
    CHECK(!world_covers(&w, "b"));
    world_connect(&w);
    world_pass(&w, 10);
    CHECK_EQ(world_queued(&w), 0);
    CHECK_EQ(w.seq, 2);
    world_close(&w);
}

static int behind(world *w, uint64_t version, const struct coherence_write *write)
{
    struct coherence_item item = world_key("a");
    item.version = version;
    struct coherence_change change = {
        .items = &item,
        .item_count = 1,
        .writes = write,
        .deadline_ns = clock_deadline_ns(w->fake.env.clock, 10000),
        .background = true,
        .local_key = write ? local_key : NULL,
        .local_arg = w,
    };
    return coherence_change(w->c, &change, NULL);
}

/* An invalidation of older ones comes while the value is on its way, which ends so. Else it would
 * be set once more, over what another node has done after it. */
static void outlast_on_its_way(world *w, int status)
{
    static struct coherence_schema schema;
    struct coherence_write write = {.schema = &schema, .mode = L2_SET_NEWER, .token = 5,
                                    .envelope = bytes_of_string("e"), .hard_ms = 1000};
    CHECK_EQ(behind(w, 5, &write), NIGH_QUEUED);
    fake_env_advance(&w->fake, 10 * NS_PER_MS);
    coherence_tick(w->c);
    struct world_request *r = world_take(w, WORLD_CHANGE);
    REQUIRE(r);
    CHECK_EQ(r->mode, L2_SET_NEWER);
    CHECK_EQ(behind(w, 3, NULL), NIGH_QUEUED);
    world_execute(w, r);
    world_deliver(r, status);
    coherence_tick(w->c);
    fake_env_advance(&w->fake, 100 * NS_PER_MS);
    coherence_tick(w->c);
    r = world_take(w, WORLD_CHANGE);
    REQUIRE(r);
    CHECK_EQ(r->mode, L2_DELETE);
    world_execute(w, r);
    world_deliver(r, 0);
    world_settle(w);
    CHECK_EQ(world_queued(w), 0);
}

TEST(a_value_is_sent_once_though_its_key_is_named_again)
{
    world w;
    world_open(&w);
    outlast_on_its_way(&w, 0);
    CHECK_EQ(stats_read(&w.stats, STATS_BACKGROUND_LOST), 0);
    outlast_on_its_way(&w, NIGH_EREDIS);
    CHECK_EQ(stats_read(&w.stats, STATS_BACKGROUND_LOST), 1);
    world_close(&w);
}

/* What is told again to another clock was accepted before the value was put: that comes after it,
 * and whoever waits for it is not told of the other. */
TEST(a_value_that_waits_comes_after_what_is_told_again)
{
    static struct coherence_schema schema;
    struct coherence_write write = {.schema = &schema, .mode = L2_SET_NEWER, .token = 5,
                                    .envelope = bytes_of_string("e"), .hard_ms = 1000};
    world w;
    world_open(&w);
    w.connected = false;
    CHECK_EQ(behind(&w, 5, &write), NIGH_QUEUED);
    struct coherence_item before = world_key("a");
    CHECK_EQ(coherence_queue_put(w.c, &before, true), 0);
    CHECK_EQ(stats_read(&w.stats, STATS_BACKGROUND_LOST), 0);
    struct coherence_batch *batch = w.c->retry->batch;
    coherence_batch_fill(w.c, batch, 0);
    REQUIRE_EQ(batch->count, 1);
    CHECK_EQ(batch->items[0].version, 0);
    CHECK_EQ(batch->writes[0].mode, L2_REPLACE);
    CHECK_EQ(batch->writes[0].version, 5);
    CHECK(!batch->lost[0]);
    coherence_batch_sent(w.c, batch);
    world_close(&w);
}

/* Counted as what any other call leaves queued is, and once accepted as that. */
TEST(who_gives_up_waiting_behind_a_value_is_counted_as_queued)
{
    static struct coherence_schema schema;
    struct coherence_write write = {.schema = &schema, .mode = L2_SET_NEWER, .token = 5,
                                    .envelope = bytes_of_string("e"), .hard_ms = 1000};
    world w;
    world_open(&w);
    w.connected = false;
    CHECK_EQ(behind(&w, 5, &write), NIGH_QUEUED);
    CHECK_EQ(stats_read(&w.stats, STATS_INVALIDATE_QUEUED), 0);
    change_key(&w, "a", NIGH_QUEUED);
    CHECK_EQ(stats_read(&w.stats, STATS_INVALIDATE_QUEUED), 1);
    world_connect(&w);
    world_pass(&w, 10);
    CHECK_EQ(world_queued(&w), 0);
    CHECK_EQ(stats_read(&w.stats, STATS_INVALIDATE), 1);
    world_close(&w);
}

/* An invalidation whatever the version is on its way as a value with one is put: the two are one
 * item from then on, and another node may set a newer value before that is sent. */
TEST(a_value_keeps_its_condition_behind_a_deletion)
{
    static struct coherence_schema schema;
    struct coherence_write write = {.schema = &schema, .mode = L2_SET_NEWER, .token = 5,
                                    .envelope = bytes_of_string("e"), .hard_ms = 1000};
    world w;
    world_open(&w);
    CHECK_EQ(behind(&w, 0, NULL), NIGH_QUEUED);
    coherence_tick(w.c);
    struct world_request *r = world_take(&w, WORLD_CHANGE);
    REQUIRE(r);
    CHECK_EQ(behind(&w, 5, &write), NIGH_QUEUED);
    world_execute(&w, r);
    world_deliver(r, 0);
    w.refuse_newer = true; /* another node's version 6 */
    coherence_tick(w.c);
    r = world_take(&w, WORLD_CHANGE);
    REQUIRE(r);
    CHECK_EQ(r->mode, L2_REPLACE);
    CHECK_EQ(r->version, 5);
    world_execute(&w, r);
    world_deliver(r, 0);
    world_settle(&w);
    CHECK_EQ(world_queued(&w), 0);
    CHECK_EQ(stats_read(&w.stats, STATS_BACKGROUND_LOST), 1);
    world_close(&w);
}

/* Whether the value of a writer who has committed version 5 is sent, behind a change that waits and
 * is about older ones than this (0: about all). */
static bool writers_value_is_sent(uint64_t waits)
{
    static struct coherence_schema schema;
    struct coherence_write write = {.schema = &schema, .mode = L2_SET_TOKEN, .token = 5,
                                    .envelope = bytes_of_string("e"), .hard_ms = 1000};
    world w;
    world_open(&w);
    w.connected = false;
    CHECK_EQ(behind(&w, waits, NULL), NIGH_QUEUED);
    CHECK_EQ(behind(&w, 5, &write), NIGH_QUEUED);
    struct coherence_batch *batch = w.c->retry->batch;
    coherence_batch_fill(w.c, batch, 0);
    CHECK_EQ(batch->count, 1);
    bool sent = batch->values[0] != NULL;
    CHECK_EQ(batch->writes[0].mode, sent ? L2_SET_TOKEN : L2_DELETE);
    coherence_batch_sent(w.c, batch);
    world_close(&w);
    return sent;
}

/* Redis was away when somebody told of a later commit, or of one of which nobody knows when it was:
 * the writer's lease is there still, and would let his value pass. */
TEST(a_writers_value_does_not_come_after_a_later_commit)
{
    CHECK(writers_value_is_sent(4));
    CHECK(writers_value_is_sent(5));
    CHECK(!writers_value_is_sent(6));
    CHECK(!writers_value_is_sent(0));
}

TEST(overflow_folds_into_soft_all)
{
    world w;
    world_init(&w, 3);
    world_connect(&w);
    world_pass(&w, 10);
    w.connected = false;
    world_notes(&w);
    change_key(&w, "a", NIGH_QUEUED);
    change_key(&w, "b", NIGH_QUEUED);
    change_key(&w, "c", NIGH_QUEUED);
    CHECK(!world_covers(&w, "x"));
    world_notes(&w);
    change_key(&w, "d", NIGH_QUEUED);
    CHECK_STR(world_notes(&w), "key s/d all~");
    CHECK(world_covers(&w, "x"));
    change_key(&w, "e", NIGH_QUEUED);
    CHECK_EQ(world_queued(&w), 4);
    CHECK_EQ(stats_read(&w.stats, STATS_INVALIDATE_OVERFLOW), 2);
    world_connect(&w);
    world_pass(&w, 10);
    CHECK_EQ(world_queued(&w), 0);
    CHECK_EQ(w.slots[GROUP_SLOT_ALL][1], w.seq);
    CHECK_EQ(w.slots[GROUP_SLOT_ALL][0], 0);
    world_close(&w);
}

#if NIGH_FAULTS
TEST(no_memory_folds_into_soft_all)
{
    world w;
    world_open(&w);
    w.connected = false;
    struct coherence_item item = world_key("a");
    int rc = NIGH_QUEUED;
    for (uint64_t nth = 1; nth <= 2; nth++) { /* the script, the queue's item */
        fault_arm(FAULT_ALLOC, nth);
        rc = world_change(&w, &item, 1);
        fault_arm(FAULT_ALLOC, 0);
        if (rc != NIGH_QUEUED)
            break;
        w.connected = true;
        world_pass(&w, 3000);
        w.connected = false;
    }
    CHECK_EQ(rc, NIGH_ENOMEM);
    CHECK(world_covers(&w, "x"));
    CHECK(strstr(world_notes(&w), "all~") != NULL);
    w.connected = true;
    world_pass(&w, 3000);
    CHECK_EQ(world_queued(&w), 0);
    CHECK_GT(w.slots[GROUP_SLOT_ALL][1], 0);
    world_close(&w);
}
#endif

#if NIGH_FAULTS
/* Where there is no memory for a value in the background nothing is done; no soft `all` either. */
TEST(a_value_without_memory_changes_nothing)
{
    static struct coherence_schema schema;
    struct coherence_write write = {.schema = &schema, .mode = L2_SET, .token = 5,
                                    .envelope = bytes_of_string("e"), .hard_ms = 1000};
    bool fired = true;
    for (uint64_t nth = 1; fired; nth++) { /* the value, the queue's item */
        world w;
        world_open(&w);
        REQUIRE(nth < 10);
        w.connected = false;
        world_notes(&w);
        fault_arm(FAULT_ALLOC, nth);
        int rc = behind(&w, 0, &write);
        fired = fault_count(FAULT_ALLOC) >= nth;
        fault_arm(FAULT_ALLOC, 0);
        CHECK_EQ(rc, fired ? NIGH_ENOMEM : NIGH_QUEUED);
        CHECK_EQ(world_queued(&w), !fired);
        CHECK_EQ(world_covers(&w, "a"), !fired);
        CHECK_EQ(stats_read(&w.stats, STATS_INVALIDATE_OVERFLOW), 0);
        CHECK_EQ(strstr(world_notes(&w), "all~") == NULL, true);
        world_close(&w);
    }
}

/* ... and of many items in the background those that found some, and one of all, are sent. */
TEST(items_without_memory_are_told_as_a_soft_all)
{
    world w;
    world_open(&w);
    fault_arm(FAULT_ALLOC, 1);
    CHECK_EQ(behind(&w, 0, NULL), NIGH_ENOMEM);
    fault_arm(FAULT_ALLOC, 0);
    CHECK(world_covers(&w, "x"));
    world_pass(&w, 10); /* the keeper was poked */
    CHECK_EQ(world_queued(&w), 0);
    CHECK_GT(w.slots[GROUP_SLOT_ALL][1], 0);
    world_close(&w);
}
#endif

/* ---- retrying ---- */

TEST(attempts_back_off_until_the_connection_is_new)
{
    world w;
    world_open(&w);
    w.connected = false;
    change_key(&w, "a", NIGH_QUEUED);
    uint64_t start_ns = w.fake.now_ns;
    while (w.fake.now_ns < start_ns + 60 * NS_PER_S) {
        uint64_t next_ns = coherence_tick(w.c);
        REQUIRE(next_ns > w.fake.now_ns);
        fake_env_advance(&w.fake, next_ns - w.fake.now_ns);
    }
    uint64_t attempts = stats_read(&w.stats, STATS_INVALIDATE_RETRIED);
    CHECK_GE(attempts, 25);
    CHECK_LE(attempts, 50); /* 2 s apart in the end */
    coherence_tick(w.c);
    world_connect(&w);
    world_settle(&w); /* no waiting now */
    CHECK_EQ(world_queued(&w), 0);
    world_close(&w);
}

/* Of those that wait since an attempt failed it is told when the last is accepted: also if one is
 * named again all the time, or others come behind them. They have waited since the call, not only
 * since the attempt. */
TEST(what_had_to_wait_is_told_when_all_of_it_is_accepted)
{
    world w;
    struct coherence_past past;
    world_open(&w);
    w.connected = false;
    change_key(&w, "a", NIGH_QUEUED);
    fake_env_advance(&w.fake, 2 * NS_PER_S);
    coherence_tick(w.c); /* fails: they have to wait */
    change_key(&w, "b", NIGH_QUEUED);
    fake_env_advance(&w.fake, 5 * NS_PER_S);
    world_connect(&w);
    fake_env_advance(&w.fake, NS_PER_S);
    coherence_tick(w.c);
    change_key(&w, "a", 0);
    coherence_past_read(w.c, &past);
    CHECK_EQ(past.delivery.count, 0);
    world_settle(&w);
    CHECK_EQ(world_queued(&w), 0);
    coherence_past_read(w.c, &past);
    CHECK_EQ(past.delivery.count, 2);
    CHECK_EQ(past.delivery.folded, 0);
    CHECK_GE(past.delivery.waited_ms, 8000);
    CHECK_LT(past.delivery.waited_ms, 9000);
    CHECK_GE(past.delivery.after_ms, 1);
    CHECK_LE(past.delivery.after_ms, 100);
    CHECK_EQ(stats_read(&w.stats, STATS_INVALIDATE_DELIVERED), 2);
    change_key(&w, "c", 0);
    coherence_past_read(w.c, &past);
    CHECK_EQ(past.delivery.count, 2); /* what did not wait is no news */
    world_close(&w);
}

static uint64_t late_ms(world *w)
{
    struct coherence_past past;
    coherence_past_read(w->c, &past);
    return past.late.waited_ms;
}

/* A node that has done nothing wrong, and was not even asked, says why a change came late: it had
 * waited elsewhere. It counts from the call; a change that comes while an attempt is on its way
 * from its own. */
TEST(another_node_tells_for_how_long_a_change_had_waited)
{
    world a, b;
    struct coherence_past past;
    world_open(&a);
    world_open_beside(&b, &a);
    a.connected = false;
    change_key(&a, "k", NIGH_QUEUED);
    coherence_tick(a.c);
    fake_env_advance(&a.fake, 3 * NS_PER_S);
    change_key(&a, "l", NIGH_QUEUED);
    world_connect(&a);
    world_settle(&a);
    world_hear(&b);
    coherence_past_read(b.c, &past);
    CHECK_EQ(past.late.count, 2);
    CHECK_GE(past.late.waited_ms, 3000);
    CHECK_LT(past.late.waited_ms, 4000);
    CHECK_EQ(past.late.node, a.c->incarnation);
    CHECK_EQ(stats_read(&b.stats, STATS_FRAME_LATE), 2);
    world_hear(&a);
    CHECK_EQ(late_ms(&a), 0); /* its own: it has `delivery` for them */
    change_key(&a, "k", 0);
    world_hear(&b);
    CHECK_EQ(stats_read(&b.stats, STATS_FRAME_LATE), 2); /* one that did not wait is not late */

    fake_env_advance(&b.fake, 60 * NS_PER_S); /* another outage */
    a.connected = false;
    change_key(&a, "k", NIGH_QUEUED);
    fake_env_advance(&a.fake, 2 * NS_PER_S);
    world_connect(&a);
    coherence_tick(a.c);
    struct world_request *r = world_take(&a, WORLD_CHANGE);
    world_execute(&a, r);
    a.connected = false;
    change_key(&a, "k", NIGH_QUEUED); /* again, while that is on its way: the next is on time */
    a.connected = true;
    world_deliver(r, 0);
    world_settle(&a);
    world_hear(&b);
    coherence_past_read(b.c, &past);
    CHECK_EQ(past.late.count, 1);
    CHECK_GE(past.late.waited_ms, 2000);
    CHECK_LT(past.late.waited_ms, 3000);
    world_close(&b);
    world_close(&a);
}

static void pass_both(world *a, world *b, uint64_t ns)
{
    fake_env_advance(&a->fake, ns);
    fake_env_advance(&b->fake, ns);
}

static void check_late(world *b, uint64_t count)
{
    struct coherence_past past;
    coherence_past_read(b->c, &past);
    CHECK_EQ(past.late.count, count);
    CHECK_EQ(stats_read(&b->stats, STATS_FRAME_LATE), count);
}

/* A batch that is executed, but for all that its node knows was not. */
static void send_in_vain(world *a)
{
    coherence_tick(a->c);
    struct world_request *r = world_take(a, WORLD_CHANGE);
    REQUIRE(r);
    world_execute(a, r);
    world_deliver(r, NIGH_ETIMEDOUT);
    coherence_tick(a->c);
}

static uint64_t heard_ms(world *w)
{
    struct coherence_past past;
    coherence_past_read(w->c, &past);
    return past.late.heard_ms;
}

/* Both nodes had one outage. What had waited counts once if the new connection knows that Redis has
 * executed it since; else it may have been there all the time. */
TEST(an_outage_that_both_nodes_had_counted_twice)
{
    for (int knows = 0; knows < 2; knows++) {
        world a, b;
        world_open(&a);
        world_open_beside(&b, &a);
        a.connected = b.connected = false;
        change_key(&a, "k", NIGH_QUEUED);
        pass_both(&a, &b, 6 * NS_PER_S);
        struct coherence_position at = coherence_position(b.c);
        if (knows)
            b.mark = (struct l2_mark){at.identity, at.sequence, b.fake.now_ns - NS_PER_S / 2};
        world_connect(&a);
        world_settle(&a);
        world_hear(&b);
        CHECK_GE(heard_ms(&b), 6000);
        if (knows)
            CHECK_LE(heard_ms(&b), 6000 + COHERENCE_LATE_MS + 700);
        else
            CHECK_GE(heard_ms(&b), 12000);
        world_close(&b);
        world_close(&a);
    }
}

TEST(what_is_sent_again_is_late_once)
{
    world a, b;
    world_open(&a);
    world_open_beside(&b, &a);
    a.connected = false;
    change_key(&a, "k", NIGH_QUEUED);
    change_key(&a, "l", NIGH_QUEUED);
    pass_both(&a, &b, 2 * NS_PER_S);
    world_connect(&a);
    send_in_vain(&a);
    world_hear(&b);
    check_late(&b, 2);
    pass_both(&a, &b, NS_PER_S);
    send_in_vain(&a);
    change_key(&a, "l", 0);
    pass_both(&a, &b, NS_PER_S);
    world_hear(&b);
    check_late(&b, 2);
    a.connected = false;
    change_key(&a, "m", NIGH_QUEUED); /* goes with them */
    world_connect(&a);
    world_settle(&a);
    CHECK_EQ(world_queued(&a), 0);
    world_hear(&b);
    check_late(&b, 3);

    a.connected = false; /* the same once more is another */
    change_key(&a, "k", NIGH_QUEUED);
    pass_both(&a, &b, 2 * NS_PER_S);
    world_connect(&a);
    world_settle(&a);
    world_hear(&b);
    check_late(&b, 4);
    a.connected = false;
    pass_both(&a, &b, NS_PER_S);
    change_key(&a, "k", NIGH_QUEUED);
    pass_both(&a, &b, 2 * NS_PER_S);
    world_connect(&a);
    world_settle(&a);
    world_hear(&b);
    check_late(&b, 5);
    world_close(&b);
    world_close(&a);
}

/* It waited at one node, and then the other was cut off: how late it is heard at most counts both,
 * and the way between. */
TEST(a_change_is_heard_so_long_after_its_call_at_most)
{
    world a, b;
    struct coherence_past past;
    world_open(&a);
    world_open_beside(&b, &a);
    a.connected = false;
    change_key(&a, "k", NIGH_QUEUED);
    fake_env_advance(&a.fake, 3 * NS_PER_S);
    world_connect(&a);
    world_settle(&a);
    fake_env_advance(&b.fake, 5 * NS_PER_S);
    world_hear(&b);
    coherence_past_read(b.c, &past);
    CHECK_EQ(past.late.count, 1);
    CHECK_GE(past.late.heard_ms, 3000 + 5000);
    CHECK_LE(past.late.heard_ms, 3000 + 5000 + WORLD_BEAT_MS + COHERENCE_LATE_MS + 200);

    fake_env_advance(&b.fake, 4 * NS_PER_S); /* of the same outage */
    a.connected = false;
    change_key(&a, "l", NIGH_QUEUED);
    fake_env_advance(&a.fake, 2 * 3600 * NS_PER_S);
    world_connect(&a);
    world_settle(&a);
    world_hear(&b);
    coherence_past_read(b.c, &past);
    CHECK_EQ(past.late.count, 2);
    CHECK_EQ(past.late.ago_ms, 0);
    CHECK_EQ(past.late.since_ms, 4000);
    CHECK_EQ(past.late.waited_ms, COHERENCE_WAITED_MOST_MS);
    world_close(&b);
    world_close(&a);
}

TEST(failed_attempt_stays_queued)
{
    world w;
    world_open(&w);
    w.connected = false;
    change_key(&w, "a", NIGH_QUEUED);
    w.connected = true;
    fake_env_advance(&w.fake, NS_PER_S / 2);
    coherence_tick(w.c);
    world_deliver(world_take(&w, WORLD_CHANGE), NIGH_EREDIS);
    coherence_tick(w.c);
    CHECK_EQ(world_queued(&w), 1);
    CHECK(world_covers(&w, "a"));
    world_pass(&w, 200);
    CHECK_EQ(world_queued(&w), 0);
    world_close(&w);
}

/* Opens a world, whose link goes down, and queues so many. */
static void queue_many(world *w, int count)
{
    world_init(w, 1000);
    world_connect(w);
    world_pass(w, 10);
    w->connected = false;
    for (int i = 0; i < count; i++) {
        char key[16];
        snprintf(key, sizeof(key), "k%d", i);
        change_key(w, key, NIGH_QUEUED);
    }
}

TEST(more_than_a_batch)
{
    world w;
    queue_many(&w, 600);
    CHECK_EQ(world_queued(&w), 600);
    world_connect(&w);
    world_pass(&w, 10);
    CHECK_EQ(world_queued(&w), 0);
    CHECK_EQ(w.seq, 3); /* scripts */
    world_close(&w);
}

TEST(batch_lets_the_first_clock_come)
{
    world w;
    world_init(&w, 64);
    change_key(&w, "a", NIGH_QUEUED);
    w.connected = true;
    w.up(w.up_arg);
    coherence_tick(w.c);
    CHECK(world_take(&w, WORLD_CHANGE) == NULL); /* it would void the resync */
    world_settle(&w);
    CHECK_EQ(world_queued(&w), 0);
    CHECK_NE(coherence_position(w.c).identity, 0);
    CHECK_EQ(stats_read(&w.stats, STATS_RESYNC), 0);
    world_close(&w);
}

TEST(drain_waits_for_the_queue)
{
    world w;
    world_open(&w);
    uint64_t soon_ns = clock_deadline_ns(w.fake.env.clock, 1000);
    world_goes_on(&w);
    CHECK_EQ(coherence_drain(w.c, soon_ns), 0);
    w.connected = false;
    change_key(&w, "a", NIGH_QUEUED);
    CHECK_EQ(coherence_drain(w.c, soon_ns), NIGH_ETIMEDOUT);
    world_connect(&w);
    CHECK_EQ(coherence_drain(w.c, clock_deadline_ns(w.fake.env.clock, 1000)), 0);
    CHECK_EQ(world_queued(&w), 0);
    world_close(&w);
}

TEST(close_tries_once_more)
{
    world w;
    queue_many(&w, 300);
    coherence_tick(w.c); /* an attempt failed: the next would have to wait */
    w.connected = true;
    world_goes_on(&w);
    CHECK_EQ(coherence_close(w.c), 0);
    CHECK_EQ(w.seq, 2);
    world_fini(&w);
}

TEST(close_does_not_wait_for_what_does_not_come)
{
    world w;
    world_open(&w);
    w.connected = false;
    change_key(&w, "a", NIGH_QUEUED);
    uint64_t start_ns = w.fake.now_ns;
    CHECK_EQ(coherence_close(w.c), 1); /* which is lost, as the caller says */
    CHECK_EQ(w.fake.now_ns, start_ns);
    world_fini(&w);
}

#if NIGH_FAULTS
/* Whatever cannot be remembered one by one is remembered as a soft `all`. */
TEST(each_allocation_fails_once)
{
    for (uint64_t nth = 1;; nth++) {
        world w;
        world_open(&w);
        fault_arm(FAULT_ALLOC, nth);
        struct coherence_item items[] = {world_key("a"), world_tag("t", false)};
        int rc = world_change(&w, items, 2);
        CHECK(rc == 0 || rc == NIGH_QUEUED || rc == NIGH_ENOMEM);
        w.connected = false;
        rc = world_change(&w, items, 2);
        CHECK(rc == NIGH_QUEUED || rc == NIGH_ENOMEM);
        CHECK(world_covers(&w, "a") && covers_tag(&w, "b", "t"));
        world_connect(&w);
        world_pass(&w, 10);
        world_pass(&w, 3000);
        bool fired = fault_count(FAULT_ALLOC) >= nth;
        fault_arm(FAULT_ALLOC, 0);
        CHECK_EQ(world_queued(&w), 0);
        CHECK_NE(world_judge(&w, 0, "t"), COHERENCE_FRESH);
        world_close(&w);
        if (!fired)
            break;
    }
}
#endif
