// SPDX-License-Identifier: MIT
// Which clocks were met and left: what answers say in their order, and nothing else.

#include "base/base.h"
#include "coherence/met.h"
#include "support/check.h"

enum { A = 1001, B, C };

TEST(the_first_clock_was_not_left)
{
    struct met m = {0};
    CHECK(!met_has_left(&m, A));
    CHECK(met_note(&m, A, 1));
    CHECK_EQ(m.identity, A);
    CHECK(!met_has_left(&m, A));
    CHECK(met_note(&m, A, 2));
    CHECK(!met_has_left(&m, A)); /* shown again is not left */
}

TEST(a_clock_is_left_when_another_is_shown)
{
    struct met m = {0};
    met_note(&m, A, 1);
    CHECK(met_note(&m, B, 2));
    CHECK_EQ(m.identity, B);
    CHECK(met_has_left(&m, A));
    CHECK(!met_has_left(&m, B));
    CHECK(met_note(&m, A, 3)); /* back: it stays left, and B is left as well */
    CHECK(met_has_left(&m, A));
    CHECK(met_has_left(&m, B));
}

TEST(an_older_answer_is_no_evidence)
{
    struct met m = {0};
    met_note(&m, B, 5);
    CHECK(!met_note(&m, A, 4)); /* executed before the change of server, looked at after it */
    CHECK_EQ(m.identity, B);
    CHECK_EQ(m.order, 5);
    CHECK(!met_has_left(&m, B));
    CHECK(!met_has_left(&m, A)); /* nor does it say that A was ever left */
    CHECK(met_note(&m, A, 6));
    CHECK(met_has_left(&m, B));
}

/* One answer is noted by whoever looks at it: more than once. */
TEST(the_same_answer_noted_again_says_nothing_new)
{
    struct met m = {0};
    met_note(&m, A, 1);
    met_note(&m, B, 2);
    struct met before = m;
    CHECK(met_note(&m, B, 2));
    CHECK_MEM(&m, sizeof(m), &before, sizeof(before));
}

TEST(going_to_and_fro_takes_two_places)
{
    struct met m = {0};
    for (uint64_t order = 1; order <= 10 * MET_LEFT; order++)
        met_note(&m, order % 2 ? A : B, order);
    CHECK_EQ(m.next, 2);
    CHECK(met_has_left(&m, A) && met_has_left(&m, B));
}

TEST(the_oldest_of_too_many_is_forgotten)
{
    struct met m = {0};
    for (uint64_t i = 0; i <= MET_LEFT; i++)
        met_note(&m, C + i, 1 + i);
    for (uint64_t i = 0; i < MET_LEFT; i++)
        CHECK(met_has_left(&m, C + i)); /* as many as promised */
    CHECK(!met_has_left(&m, C + MET_LEFT));
    met_note(&m, C + MET_LEFT + 1, MET_LEFT + 2);
    CHECK(!met_has_left(&m, C));
    CHECK(met_has_left(&m, C + 1));
    CHECK(met_has_left(&m, C + MET_LEFT));
}
