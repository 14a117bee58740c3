// SPDX-License-Identifier: MIT
// The reasons of an outage: each is news once, however they take turns.

#include "l2/outage.h"

#include <stdio.h>

#include "support/check.h"

static bool tell(struct outage *o, const char *reason)
{
    bool news = outage_is_news(o, reason);
    outage_note(o, reason, NS_PER_S);
    if (news)
        outage_told(o, reason);
    return news;
}

TEST(reasons_that_take_turns_are_told_once_each)
{
    struct outage o;
    outage_init(&o, "not connected yet", 0);
    CHECK(tell(&o, "refused"));
    CHECK(tell(&o, "unreachable"));
    for (int i = 0; i < 100; i++)
        CHECK(!tell(&o, i % 2 ? "refused" : "unreachable"));
    CHECK(tell(&o, "loading"));
    CHECK(outage_end(&o, NS_PER_S));
    CHECK(!outage_end(&o, NS_PER_S)); /* there was nothing more to tell */
    CHECK(tell(&o, "refused"));
    outage_fini(&o);
}

/* A server closes, and then refuses the password: the second line is the one that helps. */
TEST(a_further_reason_was_held_back_behind_the_first)
{
    struct outage o;
    struct log_site site = {0};
    outage_init(&o, "", 0);
    CHECK(outage_site(&o, &site) == &site);
    CHECK(tell(&o, "closed by the server"));
    struct log_site *further = outage_site(&o, &site);
    CHECK(further != &site);
    atomic_store(&further->next_ns, NS_PER_S);
    CHECK(tell(&o, "AUTH: WRONGPASS"));
    CHECK_EQ(atomic_load(&outage_site(&o, &site)->next_ns), 0);
    CHECK(outage_end(&o, NS_PER_S));
    CHECK(outage_site(&o, &site) == &site); /* each outage has one line with all others */
    outage_fini(&o);
}

static bool is_vague(const char *reason)
{
    return strncmp(reason, "something", 9) == 0;
}

TEST(what_is_known_better_by_now_is_told_in_the_place_of_what_was_not)
{
    struct outage o;
    struct l2_problem p;
    outage_init(&o, "", 0);
    tell(&o, "something is wrong");
    tell(&o, "something else is");
    outage_retell(&o, is_vague, "the disk is full");
    outage_read(&o, NS_PER_S, &p);
    CHECK_STR(p.first, "the disk is full");
    CHECK_STR(p.text, "the disk is full");
    CHECK(outage_tells(&o, "the disk is full"));
    tell(&o, "something is wrong again");
    outage_retell(&o, is_vague, "the cable is out");
    outage_read(&o, NS_PER_S, &p);
    CHECK_STR(p.first, "the disk is full");
    CHECK_STR(p.text, "the cable is out");
    outage_fini(&o);
}

TEST(an_outage_of_which_nothing_came_was_none)
{
    struct outage o;
    struct l2_outage last;
    outage_init(&o, "", 0);
    CHECK(tell(&o, "it would fail"));
    outage_drop(&o);
    CHECK(outage_end(&o, 2 * NS_PER_S));
    outage_read_last(&o, 3 * NS_PER_S, &last);
    CHECK_STR(last.text, "");
    outage_fini(&o);
}

TEST(a_reason_with_a_number_in_it_does_not_fill_the_log)
{
    struct outage o;
    char reason[32];
    unsigned told = 0;
    outage_init(&o, "", 0);
    for (unsigned i = 0; i < 1000; i++) {
        snprintf(reason, sizeof(reason), "busy at 10.0.0.%u: ", i);
        told += tell(&o, reason);
    }
    CHECK_EQ(told, OUTAGE_TOLD);
    outage_fini(&o);
}

TEST(another_count_is_no_news)
{
    struct outage o;
    outage_init(&o, "", 0);
    CHECK(tell(&o, "no node uses this prefix: 3 listen"));
    CHECK(!tell(&o, "no node uses this prefix: 12 listen"));
    CHECK(tell(&o, "busy with 5"));
    CHECK(!tell(&o, "busy with 61"));
    CHECK(tell(&o, "busy with 61a"));
    CHECK(tell(&o, "refused at 10.0.0.1:1"));
    CHECK(tell(&o, "refused at 10.0.0.1:2")); /* another place is */
    outage_fini(&o);
}

TEST(the_last_reason_is_what_is_read)
{
    struct outage o;
    struct l2_problem problem;
    outage_init(&o, "not connected yet", 0);
    outage_read(&o, 2 * NS_PER_S, &problem);
    CHECK_STR(problem.text, "not connected yet");
    CHECK_EQ(problem.for_ms, 2000);
    CHECK(tell(&o, "refused"));
    outage_read(&o, 2 * NS_PER_S, &problem);
    CHECK_STR(problem.first, "refused"); /* nothing had failed before that */
    outage_over(&o, 2 * NS_PER_S);
    outage_read(&o, 3 * NS_PER_S, &problem);
    CHECK_STR(problem.text, "");
    CHECK(!tell(&o, "refused")); /* over for now, and again */
    outage_read(&o, 3 * NS_PER_S, &problem);
    CHECK_STR(problem.text, "refused");
    CHECK_EQ(problem.for_ms, 2000);
    outage_fini(&o);
}

TEST(an_outage_that_is_over_is_remembered_with_its_times)
{
    struct outage o;
    struct l2_problem problem;
    struct l2_outage last;
    outage_init(&o, "not connected yet", 0);
    outage_end(&o, NS_PER_S);
    outage_read_last(&o, NS_PER_S, &last);
    CHECK_STR(last.text, ""); /* it began, and that is all */
    outage_note(&o, "refused", 10 * NS_PER_S);
    outage_note(&o, "loading", 11 * NS_PER_S);
    outage_read_last(&o, 11 * NS_PER_S, &last);
    CHECK_STR(last.text, ""); /* it is not over */
    outage_end(&o, 13 * NS_PER_S);
    outage_end(&o, 14 * NS_PER_S);
    outage_read_last(&o, 20 * NS_PER_S, &last);
    CHECK_STR(last.first, "refused");
    CHECK_STR(last.text, "loading");
    CHECK_EQ(last.lasted_ms, 3000);
    CHECK_EQ(last.ago_ms, 7000);
    outage_note(&o, "timed out", 30 * NS_PER_S); /* the next one, which is not mixed up with it */
    outage_read(&o, 31 * NS_PER_S, &problem);
    outage_read_last(&o, 31 * NS_PER_S, &last);
    CHECK_STR(problem.text, "timed out");
    CHECK_STR(problem.first, "timed out");
    CHECK_EQ(problem.for_ms, 1000);
    outage_note(&o, "refused", 32 * NS_PER_S);
    outage_read(&o, 33 * NS_PER_S, &problem);
    CHECK_STR(problem.first, "timed out");
    CHECK_STR(problem.text, "refused");
    CHECK_EQ(problem.for_ms, 3000);
    CHECK_STR(last.first, "refused");
    CHECK_STR(last.text, "loading");
    CHECK_EQ(last.ago_ms, 18000);
    outage_fini(&o);
}
