// SPDX-License-Identifier: MIT
// Own changes of the last seconds: what is handed out again, and what is told when some are lost.

#include <stdio.h>
#include <stdlib.h>

#include <nigh/options.h>

#include "coherence/recent.h"
#include "support/check.h"

enum { A = 1001, B };

#define START_NS (5 * NS_PER_S)
#define NOTE_BYTES 8u   /* before the strings of a note: see recent.c */
#define CHUNK_BYTES 40u /* before the notes of a chunk */
#define CHUNKS RECENT_CHUNKS_MIN

static struct recent r;
static struct mem *mem;
static char told[1 << 16];
static unsigned told_count, told_all;

static void tell(void *arg, const struct coherence_item *item)
{
    size_t len = strlen(told);
    (void)arg;
    if (item->kind == WIRE_ALL) {
        CHECK(item->soft);
        told_all++;
        return;
    }
    told_count++;
    snprintf(told + len, sizeof(told) - len, "%s%.*s", len ? " " : "", (int)item->bytes.len,
             (const char *)item->bytes.data);
}

/* The keys that are told on following `identity` at this time. */
static const char *each(uint64_t identity, uint64_t now_ns)
{
    told[0] = '\0';
    told_count = told_all = 0;
    recent_each(&r, identity, now_ns, tell, NULL);
    return told;
}

static void note(const char *key, uint64_t identity, uint64_t now_ns)
{
    struct coherence_item item = {
        .kind = WIRE_KEY, .space = bytes_of_string("s"), .bytes = bytes_of_string(key)};
    recent_note(&r, &item, identity, now_ns);
}

/* The largest there is: a full chunk has `per_chunk` of them. */
static const size_t per_chunk =
    (RECENT_CHUNK_BYTES - CHUNK_BYTES) / (NOTE_BYTES + NIGH_NAME_MAX + NIGH_KEY_MAX);

static void note_largest(uint64_t identity, uint64_t now_ns)
{
    static char text[NIGH_KEY_MAX];
    memset(text, 'x', sizeof(text));
    struct coherence_item item = {
        .kind = WIRE_KEY,
        .space = bytes_of(text, NIGH_NAME_MAX),
        .bytes = bytes_of(text, NIGH_KEY_MAX),
    };
    recent_note(&r, &item, identity, now_ns);
}

static void note_many(size_t count, uint64_t now_ns)
{
    for (size_t i = 0; i < count; i++)
        note_largest(A, now_ns);
}

static void begin(void)
{
    mem = mem_create();
    REQUIRE(mem);
    recent_init(&r, mem, CHUNKS * RECENT_CHUNK_BYTES / RECENT_BYTES + 1);
    CHECK_EQ(r.chunks_max, CHUNKS);
}

static void end(void)
{
    recent_fini(&r);
    mem_destroy(mem);
}

TEST(nothing_noted_nothing_told)
{
    begin();
    CHECK_STR(each(A, START_NS), "");
    CHECK_EQ(told_all, 0);
    end();
}

static struct coherence_item last;

static void keep(void *arg, const struct coherence_item *item)
{
    (void)arg;
    last = *item;
}

TEST(told_as_it_was_noted)
{
    begin();
    struct coherence_item items[] = {
        {.kind = WIRE_KEY, .space = bytes_of_string("space"), .bytes = bytes_of_string("key"),
         .version = UINT64_MAX - 1},
        {.kind = WIRE_TAG, .soft = true, .bytes = bytes_of_string("")},
        {.kind = WIRE_SPACE, .space = bytes_of_string("space")},
        {.kind = WIRE_ALL},
    };
    for (size_t i = 0; i < ARRAY_COUNT(items); i++) {
        recent_note(&r, &items[i], A, START_NS);
        recent_each(&r, B, START_NS, keep, NULL); /* in their order: the last is this one */
        CHECK_EQ(last.kind, items[i].kind);
        CHECK_EQ(last.soft, items[i].soft);
        CHECK_EQ(last.version, items[i].version);
        CHECK(bytes_equal(last.space, items[i].space));
        CHECK(bytes_equal(last.bytes, items[i].bytes));
    }
    end();
}

TEST(told_until_exactly_ten_seconds)
{
    begin();
    note("a", A, START_NS);
    CHECK_STR(each(B, START_NS), "a");
    CHECK_STR(each(A, START_NS + 10 * NS_PER_S - 1), "a");
    CHECK_STR(each(B, START_NS + 10 * NS_PER_S), "");
    CHECK_EQ(told_all, 0);
    end();
}

TEST(each_note_has_its_own_age)
{
    begin();
    note("a", A, START_NS);
    note("b", A, START_NS + 4 * NS_PER_S);
    note("c", A, START_NS + 9 * NS_PER_S);
    CHECK_STR(each(B, START_NS + 9 * NS_PER_S), "a b c");
    CHECK_STR(each(A, START_NS + 12 * NS_PER_S), "b c");
    CHECK_STR(each(B, START_NS + 14 * NS_PER_S), "c");
    CHECK_STR(each(A, START_NS + 19 * NS_PER_S), "");
    end();
}

TEST(what_the_clock_followed_has_accepted_is_not_told)
{
    begin();
    note("a", A, START_NS);
    note("b", B, START_NS);
    note("c", A, START_NS);
    CHECK_STR(each(A, START_NS), "b");
    CHECK_STR(each(B, START_NS), "a b c"); /* what was told under A counts as accepted there */
    CHECK_STR(each(B + 1, START_NS), "a b c");
    end();
}

/* Handing out forgets nothing: the next clock may come before the queue is empty. But a second
 * resync under the same one tells nothing twice. */
TEST(told_once_at_every_change_of_clock)
{
    begin();
    note("a", A, START_NS);
    CHECK_STR(each(B, START_NS), "a");
    CHECK_STR(each(B, START_NS), "");
    CHECK_STR(each(A, START_NS), "a");
    end();
}

TEST(oldest_first_across_chunks)
{
    begin();
    note("a", A, START_NS);
    note("b", B, START_NS + 9 * NS_PER_S); /* a chunk has one identity */
    note("c", A, START_NS + 10 * NS_PER_S);
    CHECK_EQ(r.chunk_count, 2); /* the first was old by then, and was used again */
    CHECK_STR(each(B + 1, START_NS + 10 * NS_PER_S), "b c");
    note("d", A, START_NS + 15 * NS_PER_S);
    note("e", B, START_NS + 19 * NS_PER_S);
    CHECK_STR(each(B + 2, START_NS + 19 * NS_PER_S), "c d e");
    CHECK_EQ(told_all, 0);
    end();
}

TEST(a_pause_longer_than_ten_seconds_drops_nothing_young)
{
    begin();
    for (uint64_t turn = 0; turn < 5; turn++) {
        uint64_t now_ns = START_NS + turn * 60 * NS_PER_S;
        note("a", A, now_ns);
        CHECK_STR(each(B, now_ns), "a");
        CHECK_EQ(told_all, 0);
        CHECK_EQ(r.chunk_count, 1);
    }
    end();
}

TEST(times_count_in_milliseconds_for_as_long_as_a_chunk_goes_on)
{
    begin();
    note("first", A, START_NS);
    for (uint64_t ms = 9999; ms < 900000; ms += 9999)
        note("x", A, START_NS + ms * NS_PER_MS);
    uint64_t last_ns = START_NS + 900000 * NS_PER_MS;
    note("last", A, last_ns);
    CHECK_EQ(r.chunk_count, 1);
    CHECK_STR(each(B, last_ns), "x last");
    CHECK_STR(each(A, last_ns + 10 * NS_PER_S - 1), "last");
    CHECK_STR(each(B, last_ns + 10 * NS_PER_S), "");
    end();
}

TEST(full_chunks_are_all_there)
{
    begin();
    note_many(CHUNKS * per_chunk, START_NS);
    each(B, START_NS);
    CHECK_EQ(told_count, CHUNKS * per_chunk);
    CHECK_EQ(told_all, 0);
    end();
}

/* Whoever's it was, by now it cannot be said: so all of it, softly. */
TEST(more_than_fits_is_told_as_soft_all)
{
    begin();
    note_many(CHUNKS * per_chunk + 1, START_NS);
    each(B, START_NS);
    CHECK_EQ(told_count, (CHUNKS - 1) * per_chunk + 1);
    CHECK_EQ(told_all, 1);
    each(B, START_NS);
    CHECK_EQ(told_count, 0);
    CHECK_EQ(told_all, 0);
    each(A, START_NS + 10 * NS_PER_S - 1);
    CHECK_EQ(told_all, 1);
    each(B, START_NS + 10 * NS_PER_S);
    CHECK_EQ(told_all, 0); /* what was dropped is old by now */
    end();
}

/* A resync that finds the same clock again has nothing to tell, however much was dropped: else each
 * gap in the log of a busy node would make all values stale, on all nodes. */
TEST(what_was_dropped_is_told_only_to_who_has_not_accepted_it)
{
    begin();
    note_many(CHUNKS * per_chunk + 1, START_NS);
    each(A, START_NS);
    CHECK_EQ(told_all, 0);
    note_largest(B, START_NS + NS_PER_S); /* drops another chunk of A */
    each(A, START_NS + NS_PER_S);
    CHECK_EQ(told_count, 1);
    CHECK_EQ(told_all, 0);
    each(B, START_NS + NS_PER_S);
    CHECK_EQ(told_all, 1);
    end();
}

TEST(losses_of_many_identities_are_told)
{
    begin();
    for (uint64_t identity = 1; identity <= 2 * RECENT_LOST_MAX; identity++)
        for (size_t i = 0; i < CHUNKS * per_chunk; i++)
            note_largest(identity, START_NS);
    each(2 * RECENT_LOST_MAX - 1, START_NS); /* the last identity but one */
    CHECK_EQ(told_all, 1);
    each(2 * RECENT_LOST_MAX - 1, START_NS);
    CHECK_EQ(told_all, 0);
    end();
}

TEST(old_notes_dropped_for_want_of_room_are_no_loss)
{
    begin();
    note_many(per_chunk, START_NS);
    note_many((CHUNKS - 1) * per_chunk, START_NS + 1); /* full */
    note_many(1, START_NS + 10 * NS_PER_S);            /* in the place of the first */
    each(B, START_NS + 10 * NS_PER_S);
    CHECK_EQ(told_count, (CHUNKS - 1) * per_chunk + 1);
    CHECK_EQ(told_all, 0);
    end();
}

/* A chunk that is dropped ended with its last note: 9 s ago is young, 10 s ago is not. */
TEST(whether_something_young_was_dropped_is_exact)
{
    for (unsigned young = 0; young < 2; young++) {
        uint64_t later_ns = START_NS + 10 * NS_PER_S - young;
        begin();
        note_many(per_chunk, START_NS);
        note_many((CHUNKS - 1) * per_chunk, START_NS + 1);
        note_many(1, later_ns);
        each(B, later_ns);
        CHECK_EQ(told_all, young);
        end();
    }
}

TEST(memory_is_taken_as_it_is_needed_and_given_back)
{
    begin();
    CHECK_EQ(r.chunk_count, 0);
    note_many(per_chunk + 1, START_NS);
    CHECK_EQ(r.chunk_count, 2);
    recent_trim(&r, START_NS + 10 * NS_PER_S - 1);
    CHECK_EQ(r.chunk_count, 2);
    note_many(1, START_NS + 5 * NS_PER_S);
    recent_trim(&r, START_NS + 10 * NS_PER_S);
    CHECK_EQ(r.chunk_count, 1);
    recent_trim(&r, START_NS + 15 * NS_PER_S);
    CHECK_EQ(r.chunk_count, 0);
    note("a", A, START_NS + 16 * NS_PER_S);
    CHECK_STR(each(B, START_NS + 16 * NS_PER_S), "a");
    end();
}

#if NIGH_FAULTS
TEST(without_memory_a_soft_all_is_told)
{
    begin();
    fault_arm(FAULT_ALLOC, 1);
    note("a", A, START_NS);
    fault_arm(FAULT_ALLOC, 0);
    note("b", A, START_NS);
    CHECK_STR(each(B, START_NS), "b");
    CHECK_EQ(told_all, 1);
    note_many(per_chunk, START_NS);
    size_t had = r.chunk_count;
    fault_arm(FAULT_ALLOC, 1);
    note_many(per_chunk, START_NS); /* in the place of the oldest */
    fault_arm(FAULT_ALLOC, 0);
    CHECK_EQ(r.chunk_count, had);
    each(A + 5, START_NS);
    CHECK_EQ(told_all, 1);
    end();
}
#endif

TEST(notes_of_odd_sizes_fill_a_chunk_to_the_last_byte)
{
    static char key[NIGH_KEY_MAX];
    struct coherence_item item = {.kind = WIRE_TAG, .bytes = bytes_of(key, 0)};
    size_t left = RECENT_CHUNK_BYTES - CHUNK_BYTES;
    begin();
    memset(key, 'x', sizeof(key));
    for (; left > NOTE_BYTES + sizeof(key); left -= NOTE_BYTES + item.bytes.len) {
        item.bytes.len = 1 + left % (sizeof(key) / 2);
        recent_note(&r, &item, A, START_NS);
    }
    item.bytes.len = left - NOTE_BYTES;
    recent_note(&r, &item, A, START_NS);
    CHECK_EQ(r.chunk_count, 1);
    item.bytes.len = 0;
    recent_note(&r, &item, A, START_NS);
    CHECK_EQ(r.chunk_count, 2);
    end();
}
