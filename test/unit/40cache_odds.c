// SPDX-License-Identifier: MIT
// The odds that L2 has a value: when they are low, and for how long they stay so.

#include "cache/load/odds.h"
#include "support/check.h"

static struct odds odds;

/* Notes looks until the odds are low, or not; returns how many it took. */
static unsigned looks_until(bool low, bool found)
{
    unsigned looks = 0;
    for (; odds_are_low(&odds) != low && looks < 1000; looks++)
        odds_note(&odds, found);
    return looks;
}

TEST(a_few_dozen_looks_decide)
{
    odds_init(&odds);
    CHECK(!odds_are_low(&odds));
    CHECK_EQ(looks_until(true, false), 23);
    CHECK_LE(looks_until(false, true), 32);
    CHECK_LE(looks_until(true, false), 32);
}

TEST(at_either_end_nothing_is_written)
{
    for (int found = 0; found < 2; found++) {
        odds_init(&odds);
        for (int i = 0; i < 1000; i++)
            odds_note(&odds, found);
        uint32_t word = atomic_load(&odds.word);
        odds_note(&odds, found);
        CHECK_EQ(atomic_load(&odds.word), word);
        CHECK_EQ(odds_are_low(&odds), !found);
        CHECK_LE(looks_until(found, !found), 100); /* and it leads back */
    }
}

/* Every third look finds something: between the bounds, where what was stays. */
TEST(a_share_between_the_bounds_changes_nothing)
{
    for (int low = 0; low < 2; low++) {
        odds_init(&odds);
        looks_until(low, !low);
        for (int i = 0; i < 30; i++)
            odds_note(&odds, i % 3 == 0); /* towards the share */
        for (int i = 0; i < 3000; i++) {
            odds_note(&odds, i % 3 == 0);
            CHECK_EQ(odds_are_low(&odds), low);
        }
    }
}
