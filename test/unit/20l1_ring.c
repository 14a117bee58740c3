// SPDX-License-Identifier: MIT
// Slots are taken first in, first out; lists keep their order and cost nothing to enter.

#include <stdlib.h>

#include "l1/ring.h"
#include "support/check.h"

/* Addresses only: the ring never looks at an entry. */
static struct l1_entry *fake_entry(unsigned i)
{
    uintptr_t at = (uintptr_t)(i + 1) << 4;
    return (struct l1_entry *)at;
}

static void grow(struct l1_ring *r)
{
    uint32_t capacity = ring_next_capacity(r);
    void *words = realloc(r->words, ring_words_size(capacity));
    r->due = realloc(r->due, ring_due_size(capacity / RING_GROUP));
    REQUIRE(words && r->due);
    ring_grow(r, words, capacity);
}

static void drop(struct l1_ring *r)
{
    free(r->words);
    free(r->due);
}

TEST(slots_come_back_in_the_order_they_were_given)
{
    struct l1_ring r = {.free = L1_LIST_EMPTY};
    grow(&r);
    for (unsigned i = 0; i < r.capacity; i++)
        CHECK_EQ(ring_take(&r, fake_entry(i), 0), i);
    CHECK_EQ(ring_take(&r, fake_entry(0), 0), RING_NONE);
    ring_give(&r, 40);
    ring_give(&r, 10);
    CHECK_EQ(ring_take(&r, fake_entry(1), 0), 40);
    CHECK_EQ(ring_take(&r, fake_entry(1), 0), 10);
    CHECK_EQ(ring_take(&r, fake_entry(1), 0), RING_NONE);
    drop(&r);
}

TEST(a_slot_keeps_its_entry_and_tick_through_growth)
{
    struct l1_ring r = {.free = L1_LIST_EMPTY};
    grow(&r);
    unsigned taken = 0;
    for (int step = 0; step < 20; step++) {
        while (r.free.head != RING_NONE) {
            CHECK_EQ(ring_take(&r, fake_entry(taken), (uint16_t)taken), taken);
            taken++;
        }
        grow(&r);
    }
    for (unsigned i = 0; i < taken; i++) {
        CHECK(ring_is_live(r.words[i]));
        CHECK(ring_entry(&r, i) == fake_entry(i));
        CHECK_EQ(ring_word_tick(r.words[i]), (uint16_t)i);
    }
    ring_set_tick(&r, 3, 0xffff);
    CHECK_EQ(ring_word_tick(r.words[3]), 0xffff);
    CHECK(ring_entry(&r, 3) == fake_entry(3));
    drop(&r);
}

TEST(a_retired_slot_keeps_its_entry_and_place_in_the_list)
{
    struct l1_ring r = {.free = L1_LIST_EMPTY};
    struct l1_list a = L1_LIST_EMPTY, b = L1_LIST_EMPTY;
    grow(&r);
    for (unsigned i = 0; i < 10; i++)
        ring_take(&r, fake_entry(i), 77);
    for (unsigned i = 0; i < 10; i += 2) {
        ring_push(&r, &a, i);
        ring_push(&r, &b, i + 1);
        CHECK(!ring_is_live(r.words[i]));
    }
    for (unsigned i = 0; i < 10; i += 2) {
        CHECK_EQ(ring_pop(&r, &a), i);
        CHECK(ring_entry(&r, i) == fake_entry(i));
        ring_push(&r, &b, i); /* from one list to another */
    }
    CHECK_EQ(ring_pop(&r, &a), RING_NONE);
    unsigned count = 0;
    for (uint32_t slot; (slot = ring_pop(&r, &b)) != RING_NONE; count++)
        CHECK_EQ(slot, count < 5 ? 2 * count + 1 : 2 * (count - 5));
    CHECK_EQ(count, 10);
    drop(&r);
}

TEST(capacity_ends_below_the_link_that_means_none)
{
    struct l1_ring r = {.capacity = 64};
    for (uint32_t next; (next = ring_next_capacity(&r)) != 0; r.capacity = next) {
        CHECK_GT(next, r.capacity);
        CHECK_EQ(next % RING_GROUP, 0);
    }
    CHECK_LE(r.capacity, RING_NONE);
    CHECK_GT(r.capacity, RING_NONE - 2 * RING_GROUP);
}

TEST(one_takes_over_the_slot_of_another)
{
    struct l1_ring r = {.free = L1_LIST_EMPTY};
    grow(&r);
    for (unsigned i = 0; i < 10; i++)
        ring_take(&r, fake_entry(i), 77);
    uint32_t other = ring_take_over(&r, 4, fake_entry(100), 78);
    CHECK_EQ(other, 10);
    CHECK(ring_is_live(r.words[4]) && !ring_is_live(r.words[other]));
    CHECK(ring_entry(&r, 4) == fake_entry(100));
    CHECK_EQ(ring_word_tick(r.words[4]), 78);
    CHECK(ring_entry(&r, other) == fake_entry(4));
    struct l1_list list = L1_LIST_EMPTY;
    ring_push(&r, &list, other);
    CHECK_EQ(ring_pop(&r, &list), other);
    CHECK(ring_entry(&r, other) == fake_entry(4));
    ring_give(&r, other);
    CHECK_EQ(ring_take(&r, fake_entry(5), 1), 11);
    drop(&r);
}

static unsigned list_length(const struct l1_ring *r, const struct l1_list *list)
{
    unsigned length = 0;
    uint32_t last = RING_NONE;
    for (uint32_t slot = list->head; slot != RING_NONE; slot = ring_next(r, slot), length++)
        last = slot;
    CHECK_EQ(list->tail, last);
    return length;
}

TEST(the_front_of_a_list_moves_as_a_whole)
{
    struct l1_ring r = {.free = L1_LIST_EMPTY};
    struct l1_list from = L1_LIST_EMPTY, to = L1_LIST_EMPTY;
    grow(&r);
    for (unsigned i = 0; i < 10; i++) {
        ring_take(&r, fake_entry(i), 0);
        ring_push(&r, &from, i);
    }
    ring_move_front(&r, &from, 3, &to);
    CHECK_EQ(list_length(&r, &from), 6);
    CHECK_EQ(list_length(&r, &to), 4);
    ring_move_front(&r, &from, 4, &to);
    ring_move_front(&r, &from, 9, &to);
    CHECK_EQ(list_length(&r, &from), 0);
    CHECK_EQ(list_length(&r, &to), 10);
    for (unsigned i = 0; i < 10; i++) {
        CHECK_EQ(ring_pop(&r, &to), i);
        CHECK(ring_entry(&r, i) == fake_entry(i));
    }
    drop(&r);
}

TEST(one_of_a_list_comes_to_its_front)
{
    struct l1_ring r = {.free = L1_LIST_EMPTY};
    struct l1_list list = L1_LIST_EMPTY;
    grow(&r);
    for (unsigned i = 0; i < 4; i++) {
        ring_take(&r, fake_entry(i), 0);
        ring_push(&r, &list, i);
    }
    ring_to_front(&r, &list, 1); /* 2 */
    CHECK_EQ(list_length(&r, &list), 4);
    ring_to_front(&r, &list, 1); /* 3, the last */
    CHECK_EQ(list_length(&r, &list), 4);
    ring_to_front(&r, &list, 3); /* 2 again, the second */
    CHECK_EQ(list_length(&r, &list), 4);
    static const unsigned order[] = {2, 3, 0, 1};
    for (unsigned i = 0; i < 4; i++) {
        CHECK_EQ(ring_pop(&r, &list), order[i]);
        CHECK(ring_entry(&r, order[i]) == fake_entry(order[i]));
    }
    drop(&r);
}
