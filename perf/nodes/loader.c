// SPDX-License-Identifier: MIT
/*
 * The loader of pages: one SQLite connection per thread, and a record of every call.
 */
#include "nodes/member.h"
#include "nodes/origin.h"
#include "support/fail.h"

struct expectation {
    uint64_t begin_ns; /* 0: this thread is in no call of ours: a worker */
    uint64_t look_ns;
    enum load_look look;
    bool has_run;
};

static _Thread_local struct expectation expected;
static pthread_key_t origin_key;
static pthread_once_t origin_key_once = PTHREAD_ONCE_INIT;

static void close_origin(void *origin)
{
    origin_close(origin);
}

static void make_origin_key(void)
{
    if (pthread_key_create(&origin_key, close_origin) != 0)
        fail("no thread-specific data left");
}

static struct origin *origin_of_thread(const struct member *m)
{
    pthread_once(&origin_key_once, make_origin_key);
    struct origin *origin = pthread_getspecific(origin_key);
    if (!origin) {
        origin = origin_open(m->plan->revisions, m->plan->catalogue);
        pthread_setspecific(origin_key, origin);
    }
    return origin;
}

void loader_expect(uint64_t begin_ns, enum load_look look, uint64_t look_ns)
{
    expected = (struct expectation){begin_ns, look_ns, look, false};
}

bool loader_has_run(void)
{
    return expected.has_run;
}

/* A flight's ticket is not older than its deadline says, nor than the call that leads it. A call
 * may also carry on a flight that another one began. */
static uint64_t begin_of_flight(const struct nigh_fill *fill, uint64_t now)
{
    uint32_t left_ms = nigh_fill_time_left_ms(fill);
    uint32_t age_ms = left_ms < LOAD_DEADLINE_MS ? LOAD_DEADLINE_MS - left_ms : 0;
    uint64_t by_deadline = now - (age_ms + 1) * PERF_NS_PER_MS;
    bool mine = expected.begin_ns && expected.begin_ns < by_deadline + 2 * PERF_NS_PER_MS;
    return mine ? expected.begin_ns : by_deadline;
}

static int answer(struct nigh_fill *fill, const struct origin_page *page)
{
    for (uint32_t i = 0; i < page->tag_count; i++) {
        int error = nigh_fill_add_tag(fill, page->tags[i]);
        if (error < 0)
            return error;
    }
    return nigh_fill_value(fill, page->page.data, page->page.len);
}

static int load(struct member *m, struct nigh_fill *fill, struct text name, bool *ret_found)
{
    struct origin_page page;
    struct origin *origin = origin_of_thread(m);
    shared_origin_enter(m->shared, m->number);
    bool found = origin_load(origin, name, &page);
    shared_origin_leave(m->shared, m->number);
    *ret_found = found;
    return found ? answer(fill, &page) : nigh_fill_absent(fill);
}

int loader_run(void *arg, struct nigh_fill *const fills[], size_t n)
{
    struct member *m = arg;
    if (n != 1)
        return NIGH_EINVAL;
    struct text name;
    name.data = nigh_fill_key(fills[0], &name.len);
    struct load record = {.node = (uint8_t)m->number, .look = LOAD_NOT_LOOKED};
    record.key = population_find(m->population, name);
    record.start_ns = now_ns();
    record.begin_ns = begin_of_flight(fills[0], record.start_ns);
    record.look_ns = record.begin_ns;
    if (expected.begin_ns) {
        record.look = (uint8_t)expected.look;
        record.look_ns = expected.look_ns;
    }
    expected.has_run = true;
    if (population_is_package(m->population, record.key))
        atomic_store_explicit(&m->self->loading, record.key, memory_order_relaxed);
    int error = load(m, fills[0], name, &record.found);
    record.end_ns = now_ns();
    if (m->plan->check)
        loads_add(&m->loads, &record);
    return error;
}
