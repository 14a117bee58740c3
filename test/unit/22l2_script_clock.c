// SPDX-License-Identifier: MIT
// The clock in a real server: positions, what beats and resyncs bring of them, the log, the chain
// of changes; and how the clock is lost and renewed.

#include "worlds/l2_script.h"

/* ---- the clock ---- */

TEST(beat_makes_the_clock_and_brings_what_followed)
{
    begin(NULL);
    struct l2_answer *first = CLIENT_ASK(&c, l2_beat, CLIENT_BEAT(0, 100, 42));
    CHECK_EQ(first->status, 0);
    CHECK_NE(first->clock.identity, 0);
    CHECK_EQ(first->clock.sequence, 0);
    CHECK_GT(first->clock.server_time_ms, UINT64_C(1600000000000));
    CHECK_EQ(first->clock.home, first->home);
    CHECK_EQ(first->entry_count, 0);
    CHECK_EQ(redis_integer(&server, "STRLEN t:!2:!clk"), CLIENT_CLK_BYTES);
    for (int i = 0; i < 3; i++)
        CHECK_EQ(script_verdict(script_change_key(&c, "k", L2_DELETE, 0, 0)), L2_NONE);
    struct l2_answer *second = CLIENT_ASK(&c, l2_beat, CLIENT_BEAT(1, 100, 43));
    CHECK_EQ(second->clock.identity, first->clock.identity);
    CHECK_EQ(second->clock.sequence, 3);
    REQUIRE_EQ(second->entry_count, 2);
    CHECK_EQ(second->entry_seqs[0], 2);
    CHECK_EQ(second->entry_seqs[1], 3);
    CHECK_EQ(second->entries[0].len, 4 + 40 + 4 * 8 + 4);
    const char *bytes = second->entries[0].data;
    CHECK_MEM(bytes, 4, "HEAD", 4);
    CHECK_EQ(hash_bytes(bytes_of(bytes + 4, 40)), first->home);
    CHECK_EQ(hash_bytes(bytes_of(bytes + 4, 48)), first->clock.identity);
    CHECK_EQ(get_le64(bytes + 44), 42);
    CHECK_EQ(get_le64(bytes + 52), 2);
    CHECK_EQ(get_le64(bytes + 60), 42); /* nonces: of the change before, and its own */
    CHECK_EQ(get_le64(bytes + 68), 42);
    CHECK_MEM(bytes + 76, 4, "TAIL", 4);
    l2_answer_free(first);
    l2_answer_free(second);
    end();
}

TEST(a_beat_brings_no_more_than_asked_for)
{
    begin(NULL);
    for (int i = 0; i < 5; i++)
        CHECK_EQ(script_verdict(script_change_key(&c, "k", L2_DELETE, 0, 0)), L2_NONE);
    struct l2_answer *a = CLIENT_ASK(&c, l2_beat, CLIENT_BEAT(0, 2, 42));
    CHECK_EQ(a->entry_count, 2);
    CHECK_EQ(a->clock.sequence, 5);
    l2_answer_free(a);
    a = CLIENT_ASK(&c, l2_beat, CLIENT_BEAT(UINT64_MAX, 2, 42));
    CHECK_EQ(a->status, 0);
    CHECK_EQ(a->entry_count, 0);
    l2_answer_free(a);
    end();
}

/* Redis keeps numbers as doubles in Lua, and 32 bits are soon used up. */
TEST(positions_above_32_bits)
{
    static const uint64_t start = (UINT64_C(5) << 32) - 2;
    char le[8];
    begin(NULL);
    l2_answer_free(CLIENT_ASK(&c, l2_beat, CLIENT_BEAT(0, 100, 42)));
    put_le64(le, start);
    free(redis_command(&server, "SETRANGE t:!2:!clk 8 %b", le, sizeof(le)));
    for (uint64_t i = 1; i <= 4; i++) {
        struct l2_answer *a = script_change_key(&c, "k", L2_DELETE, 0, 0);
        CHECK_EQ(a->status, 0);
        CHECK_EQ(a->clock.sequence, start + i);
        l2_answer_free(a);
    }
    struct l2_answer *a = CLIENT_ASK(&c, l2_beat, CLIENT_BEAT(start + 1, 100, 42));
    REQUIRE_EQ(a->entry_count, 3);
    CHECK_EQ(a->entry_seqs[0], start + 2);
    CHECK_EQ(get_le64((const char *)a->entries[2].data + 52), start + 4);
    l2_answer_free(a);
    end();
}

static uint64_t identity_after_beat(uint64_t nonce)
{
    struct l2_answer *a = CLIENT_ASK(&c, l2_beat, CLIENT_BEAT(0, 100, nonce));
    uint64_t identity = a->status ? 0 : a->clock.identity;
    CHECK_EQ(a->status, 0);
    CHECK_EQ(a->clock.sequence, 0);
    CHECK_EQ(a->entry_count, 0);
    l2_answer_free(a);
    CHECK_EQ(redis_integer(&server, "STRLEN t:!2:!clk"), CLIENT_CLK_BYTES);
    return identity;
}

TEST(a_clock_lost_cut_or_replaced_is_another_clock)
{
    static const char *const accidents[] = {
        "DEL t:!2:!clk", "SET t:!2:!clk short", "SETRANGE t:!2:!clk 72 x", "LPUSH t:!2:!clk x"};
    begin(NULL);
    uint64_t last = identity_after_beat(42);
    for (size_t i = 0; i < ARRAY_COUNT(accidents); i++) {
        CHECK_EQ(script_verdict(script_change_key(&c, "k", L2_SET, 0, 0)),
                 i == 0 ? L2_STORED : L2_MOVED);
        if (i == 3)
            free(redis_command(&server, "DEL t:!2:!clk"));
        free(redis_command(&server, accidents[i]));
        uint64_t identity = identity_after_beat(100 + i);
        CHECK_NE(identity, last);
        CHECK_EQ(redis_integer(&server, "EXISTS t:!:log"), 0);
        last = identity;
    }
    end();
}

/* Two kinds of nodes that each made the clock anew would take it from each other for ever. */
TEST(a_clock_with_other_group_slots_is_left_alone)
{
    static const char others[] = {0, 0x10, 0, 0}; /* 4096 */
    begin(NULL);
    l2_answer_free(CLIENT_ASK(&c, l2_beat, CLIENT_BEAT(0, 100, 42)));
    free(redis_command(&server, "SETRANGE t:!2:!clk 64 %b", others, sizeof(others)));
    struct l2_answer *a = CLIENT_ASK(&c, l2_resync, CLIENT_RESYNC(7));
    CHECK_EQ(a->status, 0);
    CHECK_EQ(a->slots, 4096); /* which tells the node what is wrong */
    l2_answer_free(a);
    l2_answer_free(CLIENT_ASK(&c, l2_beat, CLIENT_BEAT(0, 100, 8)));
    a = script_change_key(&c, "k", L2_SET, 0, 0);
    CHECK_EQ(a->status, NIGH_EREDIS);
    l2_answer_free(a);
    CHECK_EQ(redis_integer(&server, "EXISTS t:!2:s:1:k"), 0);
    CHECK_EQ(redis_integer(&server, "STRLEN t:!2:!clk"), CLIENT_CLK_BYTES);
    end();
}

/* The number of whoever comes later may be another, and what only looks leaves nothing behind. */
TEST(a_guest_makes_no_clock_and_follows_one)
{
    begin(NULL);
    struct client guest;
    client_init(&guest, true);
    struct l2_config config = client_config(&guest, server.uri);
    config.guest = true;
    REQUIRE_EQ(l2_open(&config, &guest.l2), 0);
    REQUIRE(CHECK_WITHIN(CLIENT_DEADLINE_MS, l2_connected(guest.l2)));
    struct l2_answer *a = CLIENT_ASK(&guest, l2_resync, CLIENT_RESYNC(7));
    CHECK_EQ(a->status, NIGH_EREDIS);
    l2_answer_free(a);
    a = CLIENT_ASK(&guest, l2_beat, CLIENT_BEAT(0, 100, 7));
    CHECK_EQ(a->status, NIGH_EREDIS);
    l2_answer_free(a);
    CHECK_EQ(redis_integer(&server, "DBSIZE"), 0);
    uint64_t identity = identity_after_beat(42);
    a = CLIENT_ASK(&guest, l2_resync, CLIENT_RESYNC(7));
    CHECK_EQ(a->status, 0);
    CHECK_EQ(a->slots, CLIENT_SLOTS);
    CHECK_EQ(a->clock.identity, identity);
    const struct l2_resync renewal = {.nonce = 43, .renew = 42, .renew_replid = a->clock.replid};
    struct l2_answer *renewed = CLIENT_ASK(&guest, l2_resync, &renewal);
    CHECK_NE(renewed->clock.identity, identity); /* who has followed it knows its number */
    CHECK_EQ(renewed->slots, CLIENT_SLOTS);
    l2_answer_free(renewed);
    l2_answer_free(a);
    a = CLIENT_ASK(&guest, l2_beat, CLIENT_BEAT(0, 100, 8));
    CHECK_EQ(a->status, 0);
    l2_answer_free(a);
    free(redis_command(&server, "FLUSHALL"));
    l2_answer_free(script_change_key(&guest, "k", L2_DELETE, 0, 0));
    CHECK_EQ(redis_integer(&server, "EXISTS t:!2:!clk"), 1); /* who changes something is no guest */
    l2_close(guest.l2);
    client_fini(&guest);
    end();
}

TEST(without_a_clock_there_is_no_identity)
{
    begin(NULL);
    struct l2_answer *a = script_lease(&c, "k", 1, 0);
    CHECK_EQ(a->verdict, L2_GRANTED);
    CHECK_EQ(a->clock.identity, 0);
    CHECK_NE(a->clock.home, 0);
    l2_answer_free(a);
    CHECK_EQ(redis_integer(&server, "EXISTS t:!2:!clk"), 0);
    end();
}

TEST(a_log_lost_or_of_another_clock_does_not_stop_changes)
{
    begin(NULL);
    CHECK_EQ(script_verdict(script_change_key(&c, "k", L2_DELETE, 0, 0)), L2_NONE);
    free(redis_command(&server, "XADD t:!:log 99-0 f x"));
    CHECK_EQ(script_verdict(script_change_key(&c, "k", L2_DELETE, 0, 0)), L2_NONE);
    CHECK_EQ(redis_integer(&server, "XLEN t:!:log"), 1);
    free(redis_command(&server, "DEL t:!:log"));
    free(redis_command(&server, "SET t:!:log x"));
    CHECK_EQ(script_verdict(script_change_key(&c, "k", L2_DELETE, 0, 0)), L2_NONE);
    CHECK_EQ(redis_integer(&server, "XLEN t:!:log"), 1);
    end();
}

TEST(the_log_is_bounded)
{
    begin(NULL);
    for (int i = 0; i < 20000; i += 100) {
        static struct l2_sync syncs[100];
        for (int j = 0; j < 100; j++) {
            const struct l2_change change = {.nonce = 42, .schemas = 42, .frame = script_frame};
            CLIENT_SUBMIT(&c, &syncs[j], l2_change, &change);
        }
        for (int j = 0; j < 100; j++)
            CHECK_EQ(script_verdict(l2_sync_wait(&syncs[j])), L2_NONE);
    }
    CHECK_LE(redis_integer(&server, "XLEN t:!:log"), 17000);
    struct l2_answer *a = CLIENT_ASK(&c, l2_beat, CLIENT_BEAT(10000, 100000, 42));
    CHECK_EQ(a->entry_count, 10000);
    l2_answer_free(a);
    end();
}

/* 8 MiB of frames, whatever their size: never below 256 of them, never above 16384. */
TEST(the_log_keeps_fewer_of_larger_frames)
{
    static const struct {
        size_t bytes;
        int changes, least, most;
    } cases[] = {
        {40000, 400, 256, 280}, /* below 8 MiB by number */
        {8000, 1500, 1000, 1120},
    };
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        char *tail = calloc(1, cases[i].bytes);
        const struct l2_change change = {
            .nonce = 42, .schemas = 42, .frame = {{"HEAD", 4}, {tail, cases[i].bytes}}};
        begin(NULL);
        for (int n = 0; n < cases[i].changes; n++)
            CHECK_EQ(script_verdict(CLIENT_ASK(&c, l2_change, &change)), L2_NONE);
        CHECK_GE(redis_integer(&server, "XLEN t:!:log"), cases[i].least);
        CHECK_LE(redis_integer(&server, "XLEN t:!:log"), cases[i].most);
        end();
        free(tail);
    }
}

/* One large frame among small ones takes next to nothing from them. */
TEST(the_log_goes_by_the_mean_size)
{
    static char tail[60000];
    struct l2_change change = {.nonce = 42, .schemas = 42, .frame = script_frame};
    begin(NULL);
    for (int n = 0; n < 2000; n++) {
        change.frame.tail = bytes_of(tail, n == 1000 ? sizeof(tail) : 4);
        CHECK_EQ(script_verdict(CLIENT_ASK(&c, l2_change, &change)), L2_NONE);
    }
    CHECK_EQ(redis_integer(&server, "XLEN t:!:log"), 2000);
    end();
}

/* Whoever has heard it needs no entry; whoever has not reads the clock. */
TEST(a_frame_above_64_kib_is_logged_as_lost)
{
    static char tail[65536];
    enum { FITS = 65536 - 4 - 40 - 4 * 8 };
    struct l2_change change = {.nonce = 42, .schemas = 42, .frame = {{"HEAD", 4}, {tail, FITS}}};
    begin(NULL);
    CHECK_EQ(script_verdict(CLIENT_ASK(&c, l2_change, &change)), L2_NONE);
    change.frame.tail.len++;
    CHECK_EQ(script_verdict(CLIENT_ASK(&c, l2_change, &change)), L2_NONE);
    change.frame.tail.len = 4;
    CHECK_EQ(script_verdict(CLIENT_ASK(&c, l2_change, &change)), L2_NONE);
    struct l2_answer *a = CLIENT_ASK(&c, l2_beat, CLIENT_BEAT(0, 100, 42));
    REQUIRE_EQ(a->entry_count, 3);
    CHECK_EQ(a->entries[0].len, 65536);
    CHECK_EQ(a->entry_seqs[1], 2);
    CHECK_EQ(a->entries[1].len, 0);
    CHECK_EQ(a->entries[2].len, 4 + 40 + 4 * 8 + 4);
    l2_answer_free(a);
    end();
}

/* ---- groups ---- */

/* Where a resync has the positions of a slot; NULL: its page is not there. */
static const uint8_t *page_slot(const struct l2_answer *a, uint32_t slot)
{
    uint32_t of_page = CLIENT_SLOTS / L2_PAGES;
    for (uint32_t i = 0; i < a->entry_count; i++)
        if (a->entry_seqs[i] == slot / of_page)
            return (const uint8_t *)a->entries[i].data + 16 * (slot % of_page);
    return NULL;
}

TEST(groups_get_the_position_of_their_change)
{
    static const struct l2_change_group groups[] = {
        {0, true}, {5, false}, {CLIENT_SLOTS - 1, true}};
    const struct l2_change change = {
        .groups = groups, .group_count = 3, .nonce = 42, .schemas = 42, .frame = script_frame};
    begin(NULL);
    CHECK_EQ(script_verdict(script_change_key(&c, "k", L2_DELETE, 0, 0)), L2_NONE);
    struct l2_answer *a = CLIENT_ASK(&c, l2_change, &change);
    CHECK_EQ(a->clock.sequence, 2);
    CHECK_EQ(a->verdict, L2_NONE);
    l2_answer_free(a);
    a = CLIENT_ASK(&c, l2_resync, CLIENT_RESYNC(43));
    CHECK_EQ(a->clock.id, 42);
    CHECK_EQ(a->clock.sequence, 2);
    CHECK_EQ(a->slots, CLIENT_SLOTS);
    CHECK(!a->partial);
    REQUIRE_EQ(a->entry_count, 2); /* of 64 pages */
    CHECK_EQ(a->entry_seqs[0], 0);
    CHECK_EQ(a->entry_seqs[1], L2_PAGES - 1);
    for (uint32_t i = 0; i < CLIENT_SLOTS; i++) {
        const uint8_t *at = page_slot(a, i);
        CHECK_EQ(at ? get_le64(at) : 0, i == 5 ? 2 : 0);
        CHECK_EQ(at ? get_le64(at + 8) : 0, i == 0 || i == CLIENT_SLOTS - 1 ? 2 : 0);
    }
    l2_answer_free(a);
    end();
}

/* Who has followed this clock up to here is told only what has moved since. */
TEST(a_resync_brings_what_may_be_new)
{
    static const struct l2_change_group low = {5, false}, high = {CLIENT_SLOTS - 1, true};
    struct l2_change change = {
        .groups = &low, .group_count = 1, .nonce = 42, .schemas = 42, .frame = script_frame};
    begin(NULL);
    l2_answer_free(CLIENT_ASK(&c, l2_change, &change));
    struct l2_answer *a = CLIENT_ASK(&c, l2_resync, CLIENT_RESYNC(43)); /* who the server is, too */
    struct l2_resync known = {
        .nonce = 43, .replid = a->clock.replid, .id = a->clock.id, .after_seq = a->clock.sequence};
    change.groups = &high;
    l2_answer_free(CLIENT_ASK(&c, l2_change, &change));
    struct l2_answer *b = CLIENT_ASK(&c, l2_resync, &known);
    CHECK(b->partial);
    REQUIRE_EQ(b->entry_count, 1);
    CHECK_EQ(b->entry_seqs[0], L2_PAGES - 1);
    l2_answer_free(b);
    known.after_seq = 2;
    b = CLIENT_ASK(&c, l2_resync, &known);
    CHECK(b->partial);
    CHECK_EQ(b->entry_count, 0);
    l2_answer_free(b);
    known.id++; /* another clock: its positions say nothing of this one's */
    b = CLIENT_ASK(&c, l2_resync, &known);
    CHECK(!b->partial);
    CHECK_EQ(b->entry_count, 2);
    l2_answer_free(b);
    l2_answer_free(a);
    end();
}

/* ---- a clock is renewed: rule 16 ---- */

/* A clock with a position, a schema, and a group. */
static struct l2_answer *clock_to_renew(void)
{
    static const struct l2_change_group group = {5, false};
    struct bytes envelope = client_envelope(777, 0, "written");
    const struct l2_change_key key = {
        .key = client_key("k"), .mode = L2_SET, .envelope = envelope, .hard_ms = 60000};
    const struct l2_change change = {
        .keys = &key,
        .key_count = 1,
        .groups = &group,
        .group_count = 1,
        .nonce = 42,
        .schemas = 42,
        .registration = {60000, 0, 0},
        .frame = script_frame,
    };
    struct l2_answer *a = CLIENT_ASK(&c, l2_change, &change);
    CHECK_EQ(script_verdict(a), L2_STORED);
    client_envelope_free(envelope);
    return CLIENT_ASK(&c, l2_resync, CLIENT_RESYNC(43));
}

static struct l2_answer *renew(uint64_t nonce, uint64_t id, struct bytes replid)
{
    const struct l2_resync resync = {.nonce = nonce, .renew = id, .renew_replid = replid};
    return CLIENT_ASK(&c, l2_resync, &resync);
}

TEST(a_renewed_clock_has_another_id_and_all_else)
{
    begin(NULL);
    struct l2_answer *before = clock_to_renew();
    struct l2_answer *a = renew(4711, 42, before->clock.replid);
    CHECK_EQ(a->status, 0);
    CHECK_EQ(a->clock.id, 4711);
    CHECK_NE(a->clock.identity, before->clock.identity);
    CHECK_EQ(a->clock.home, before->clock.home);
    CHECK_EQ(a->clock.nonce, 4711);
    CHECK_EQ(a->clock.sequence, 1);
    CHECK_EQ(a->clock.schemas, before->clock.schemas);
    CHECK_EQ(a->value.len, 16 + 1 + 1);
    CHECK(!a->partial);
    CHECK_EQ(a->entry_count, 1);
    CHECK_EQ(get_le64(page_slot(a, 5)), 1);
    CHECK_EQ(redis_integer(&server, "EXISTS t:!:log t:!2:!log"), 0);
    CHECK_EQ(redis_integer(&server, "EXISTS t:!2:s:1:k"), 1); /* stale to everybody */
    CHECK_EQ(script_le64_at(&server, "t:!2:!clk", 0), 4711);
    CHECK_EQ(script_le64_at(&server, "t:!2:!clk", 16), 4711);
    l2_answer_free(a);
    a = script_change_key(&c, "k", L2_DELETE, 0, 0);
    CHECK_EQ(a->clock.sequence, 2);
    CHECK_EQ(a->previous, 4711); /* the chain goes on from there */
    l2_answer_free(a);
    l2_answer_free(before);
    end();
}

TEST(a_clock_is_renewed_if_it_is_still_the_one_seen)
{
    static const char elsewhere[] = "0123456789012345678901234567890123456789";
    begin(NULL);
    struct l2_answer *before = clock_to_renew();
    struct l2_answer *a = renew(1001, 43, before->clock.replid);
    CHECK_EQ(a->clock.identity, before->clock.identity); /* another id */
    l2_answer_free(a);
    a = renew(1002, 42, bytes_of(elsewhere, 40));
    CHECK_EQ(a->clock.identity, before->clock.identity); /* another server */
    l2_answer_free(a);
    a = renew(1003, 0, bytes_of("", 0));
    CHECK_EQ(a->clock.identity, before->clock.identity); /* nobody asked */
    l2_answer_free(a);
    CHECK_EQ(redis_integer(&server, "XLEN t:!:log"), 1);
    a = renew(1004, 42, before->clock.replid);
    CHECK_EQ(a->clock.id, 1004);
    l2_answer_free(a);
    a = renew(1005, 42, before->clock.replid); /* the second node that asks for it */
    CHECK_EQ(a->clock.id, 1004);
    l2_answer_free(a);
    l2_answer_free(before);
    end();
}

TEST(a_clock_of_other_group_slots_is_not_renewed)
{
    static const char others[] = {0, 0x10, 0, 0}; /* 4096 */
    begin(NULL);
    struct l2_answer *before = clock_to_renew();
    free(redis_command(&server, "SETRANGE t:!2:!clk 64 %b", others, sizeof(others)));
    struct l2_answer *a = renew(4711, 42, before->clock.replid);
    CHECK_EQ(a->clock.id, 42);
    l2_answer_free(a);
    l2_answer_free(before);
    end();
}

TEST(a_clock_is_renewed_when_memory_is_full)
{
    begin(NULL);
    struct l2_answer *before = clock_to_renew();
    free(redis_command(&server, "CONFIG SET maxmemory 1"));
    struct l2_answer *a = renew(4711, 42, before->clock.replid);
    CHECK_EQ(a->status, 0);
    CHECK_EQ(a->clock.id, 4711);
    l2_answer_free(a);
    l2_answer_free(before);
    end();
}

/* ---- the chain of changes ---- */

TEST(each_change_names_the_one_before_it)
{
    begin(NULL);
    uint64_t previous = 100; /* of the clock that the first one makes */
    for (uint64_t nonce = 100; nonce < 104; nonce++) {
        const struct l2_change change = {.nonce = nonce, .schemas = 100, .frame = script_frame};
        struct l2_answer *a = CLIENT_ASK(&c, l2_change, &change);
        CHECK_EQ(a->previous, previous);
        CHECK_EQ(a->clock.nonce, nonce);
        previous = nonce;
        l2_answer_free(a);
    }
    struct l2_answer *a = CLIENT_ASK(&c, l2_beat, CLIENT_BEAT(1, 100, 7));
    REQUIRE_EQ(a->entry_count, 3);
    for (uint32_t i = 0; i < 3; i++) {
        const uint8_t *f = a->entries[i].data;
        CHECK_EQ(get_le64(f + 60), 100 + i);
        CHECK_EQ(get_le64(f + 68), 101 + i);
    }
    CHECK_EQ(a->clock.nonce, 103);
    l2_answer_free(a);
    end();
}
