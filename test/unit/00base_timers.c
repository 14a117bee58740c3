// SPDX-License-Identifier: MIT
// Timers: whatever comes and goes, the first is the one that is due first.

#include "base/base.h"
#include "support/check.h"

#define COUNT 500u

struct item {
    struct timer timer;
    bool in;
};

static uint64_t first_of(const struct item *items)
{
    uint64_t first_ns = UINT64_MAX;
    for (unsigned i = 0; i < COUNT; i++)
        if (items[i].in && items[i].timer.due_ns < first_ns)
            first_ns = items[i].timer.due_ns;
    return first_ns;
}

static void check_first(const struct timers *ts, const struct item *items)
{
    CHECK_EQ(ts->first ? ts->first->due_ns : UINT64_MAX, first_of(items));
}

TEST(none_is_first_of_none)
{
    struct timers ts = {NULL};
    struct timer only;
    CHECK(!ts.first);
    timers_add(&ts, &only, 7);
    CHECK(ts.first == &only);
    timers_remove(&ts, &only);
    CHECK(!ts.first);
}

TEST(they_come_out_in_order)
{
    static struct item items[COUNT];
    struct timers ts = {NULL};
    struct random random;
    random_init(&random, check_seed());
    for (unsigned i = 0; i < COUNT; i++) {
        timers_add(&ts, &items[i].timer, random_below(&random, COUNT));
        items[i].in = true;
    }
    for (uint64_t last_ns = 0; ts.first; timers_remove(&ts, ts.first)) {
        CHECK_GE(ts.first->due_ns, last_ns);
        last_ns = ts.first->due_ns;
        CONTAINER_OF(ts.first, struct item, timer)->in = false;
    }
    for (unsigned i = 0; i < COUNT; i++)
        CHECK(!items[i].in);
}

TEST(any_may_leave_at_any_time)
{
    static struct item items[COUNT];
    struct timers ts = {NULL};
    struct random random;
    random_init(&random, check_seed());
    for (unsigned round = 0; round < 20000; round++) {
        struct item *item = &items[random_below(&random, COUNT)];
        if (item->in)
            timers_remove(&ts, &item->timer);
        else
            timers_add(&ts, &item->timer, random_below(&random, 1000));
        item->in = !item->in;
        if (round % 16 == 0)
            check_first(&ts, items);
    }
    check_first(&ts, items);
}
