// SPDX-License-Identifier: MIT
// Own changes of the last seconds: what is handed out again, and what is told when some are lost.

#include <stdio.h>
#include <stdlib.h>

#include <nigh/options.h>

#include "coherence/recent.h"
#include "support/check.h"

enum { A = 1001, B };

#define START_NS (5 * NS_PER_S)
#define NOTE_BYTES 40u /* before the strings of a note: see recent.c */

static struct recent r;
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

/* The largest there is: a full half has `per_half` of them. */
static const size_t per_half = RECENT_HALF_BYTES / (NOTE_BYTES + NIGH_NAME_MAX + NIGH_KEY_MAX);

static void note_largest(uint64_t now_ns)
{
    static char text[NIGH_KEY_MAX];
    memset(text, 'x', sizeof(text));
    struct coherence_item item = {
        .kind = WIRE_KEY,
        .space = bytes_of(text, NIGH_NAME_MAX),
        .bytes = bytes_of(text, NIGH_KEY_MAX),
    };
    recent_note(&r, &item, A, now_ns);
}

static void note_many(size_t count, uint64_t now_ns)
{
    for (size_t i = 0; i < count; i++)
        note_largest(now_ns);
}

static void begin(void)
{
    REQUIRE_EQ(recent_init(&r), 0);
}

static void end(void)
{
    recent_fini(&r);
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
    CHECK_STR(each(B, START_NS + 10 * NS_PER_S - 1), "a");
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
    CHECK_STR(each(B, START_NS + 12 * NS_PER_S), "b c");
    CHECK_STR(each(B, START_NS + 14 * NS_PER_S), "c");
    CHECK_STR(each(B, START_NS + 19 * NS_PER_S), "");
    end();
}

TEST(what_the_clock_followed_has_accepted_is_not_told)
{
    begin();
    note("a", A, START_NS);
    note("b", B, START_NS);
    note("c", A, START_NS);
    CHECK_STR(each(A, START_NS), "b");
    CHECK_STR(each(B, START_NS), "a c");
    CHECK_STR(each(B + 1, START_NS), "a b c");
    end();
}

/* Handing out forgets nothing: the next clock may come before the queue is empty. */
TEST(told_at_every_change_of_clock)
{
    begin();
    note("a", A, START_NS);
    CHECK_STR(each(B, START_NS), "a");
    CHECK_STR(each(B, START_NS), "a");
    end();
}

TEST(oldest_first_across_the_halves)
{
    begin();
    note("a", A, START_NS);
    note("b", A, START_NS + 9 * NS_PER_S);
    note("c", A, START_NS + 10 * NS_PER_S); /* begins the other half */
    CHECK_EQ(r.current, 1);
    CHECK_STR(each(B, START_NS + 10 * NS_PER_S), "b c");
    note("d", A, START_NS + 15 * NS_PER_S);
    note("e", A, START_NS + 20 * NS_PER_S); /* begins the first anew: all in it was old */
    CHECK_EQ(r.current, 0);
    CHECK_STR(each(B, START_NS + 20 * NS_PER_S), "d e");
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
    }
    end();
}

TEST(two_full_halves_are_all_there)
{
    begin();
    note_many(2 * per_half, START_NS);
    each(B, START_NS);
    CHECK_EQ(told_count, 2 * per_half);
    CHECK_EQ(told_all, 0);
    end();
}

/* Whoever's it was, by now it cannot be said: so all of it, softly. */
TEST(more_than_fits_is_told_as_soft_all)
{
    begin();
    note_many(2 * per_half + 1, START_NS);
    each(B, START_NS);
    CHECK_EQ(told_count, per_half + 1);
    CHECK_EQ(told_all, 1);
    each(A, START_NS);
    CHECK_EQ(told_count, 0);
    CHECK_EQ(told_all, 1);
    each(B, START_NS + 10 * NS_PER_S - 1);
    CHECK_EQ(told_all, 1);
    each(B, START_NS + 10 * NS_PER_S);
    CHECK_EQ(told_all, 0); /* what was dropped is old by now */
    end();
}

TEST(old_notes_dropped_for_want_of_room_are_no_loss)
{
    begin();
    note_many(per_half, START_NS);
    note_many(per_half, START_NS + 1);                 /* the other half begins: full too */
    note_many(1, START_NS + 1 + 10 * NS_PER_S);        /* both are old */
    each(B, START_NS + 1 + 10 * NS_PER_S);
    CHECK_EQ(told_count, 1);
    CHECK_EQ(told_all, 0);
    end();
}

/* The half that is dropped ended when the full one began: 9 s ago is young, 10 s ago is not. */
TEST(whether_something_young_was_dropped_is_exact)
{
    for (unsigned young = 0; young < 2; young++) {
        uint64_t later_ns = START_NS + 10 * NS_PER_S - young;
        begin();
        note_many(per_half, START_NS);
        note_many(1, START_NS);
        note_many(per_half - 1, later_ns - 1);
        note_many(1, later_ns); /* turns; at 10 s by age, before by room */
        each(B, later_ns);
        CHECK_EQ(told_all, young);
        end();
    }
}

TEST(notes_of_odd_sizes_fill_a_half_to_the_last_byte)
{
    static char key[NIGH_KEY_MAX];
    struct coherence_item item = {.kind = WIRE_TAG, .bytes = bytes_of(key, 0)};
    begin();
    memset(key, 'x', sizeof(key));
    while (r.half[0].used + NOTE_BYTES + 2 * sizeof(key) <= RECENT_HALF_BYTES) {
        item.bytes.len = 1 + r.half[0].used % sizeof(key);
        recent_note(&r, &item, A, START_NS);
    }
    size_t left = RECENT_HALF_BYTES - r.half[0].used;
    for (; left > sizeof(key); left = RECENT_HALF_BYTES - r.half[0].used) {
        item.bytes.len = left > 2 * sizeof(key) ? sizeof(key) : left / 2 - NOTE_BYTES;
        recent_note(&r, &item, A, START_NS);
    }
    item.bytes.len = left - NOTE_BYTES;
    recent_note(&r, &item, A, START_NS);
    CHECK_EQ(r.half[0].used, RECENT_HALF_BYTES);
    CHECK_EQ(r.current, 0);
    item.bytes.len = 0;
    recent_note(&r, &item, A, START_NS);
    CHECK_EQ(r.current, 1);
    end();
}
