// SPDX-License-Identifier: MIT
// Time, events, tasks. Events lie in a heap by time, then by the order of asking.

#include "sim/world.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct event {
    uint64_t at_ns;
    uint64_t order;
    event_fn run;
    void *arg;
    uint64_t number;
};

static struct {
    uint64_t now_ns;
    uint64_t orders;
    struct event *heap;
    size_t count, size;
    struct task *tasks;
    struct task *current;
    struct chance chance;
    unsigned busy_percent;
    uint64_t paused_until[SIM_NODES_MAX];
    const char *failed;
    char failed_text[512];
} w;

bool world_tracing;

/* ---- chance ---- */

uint64_t chance_next(struct chance *c)
{
    uint64_t x = c->state += 0x9E3779B97F4A7C15ull; /* splitmix64 */
    x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9ull;
    x = (x ^ (x >> 27)) * 0x94D049BB133111EBull;
    return x ^ (x >> 31);
}

uint64_t chance_below(struct chance *c, uint64_t bound)
{
    return (uint64_t)(((unsigned __int128)chance_next(c) * bound) >> 64);
}

bool chance_percent(struct chance *c, unsigned percent)
{
    return chance_below(c, 100) < percent;
}

uint64_t chance_mix(uint64_t a, uint64_t b)
{
    struct chance c = {a ^ (b * 0x9E3779B97F4A7C15ull)};
    return chance_next(&c);
}

/* ---- events ---- */

static bool before(const struct event *a, const struct event *b)
{
    return a->at_ns < b->at_ns || (a->at_ns == b->at_ns && a->order < b->order);
}

static void sift_up(size_t i)
{
    struct event e = w.heap[i];
    for (; i > 0 && before(&e, &w.heap[(i - 1) / 2]); i = (i - 1) / 2)
        w.heap[i] = w.heap[(i - 1) / 2];
    w.heap[i] = e;
}

static void sift_down(void)
{
    struct event e = w.heap[w.count];
    size_t i = 0;
    for (;;) {
        size_t child = 2 * i + 1;
        if (child >= w.count)
            break;
        if (child + 1 < w.count && before(&w.heap[child + 1], &w.heap[child]))
            child++;
        if (!before(&w.heap[child], &e))
            break;
        w.heap[i] = w.heap[child];
        i = child;
    }
    w.heap[i] = e;
}

void world_at(uint64_t at_ns, event_fn run, void *arg, uint64_t number)
{
    if (w.count == w.size) {
        w.size = w.size ? 2 * w.size : 256;
        w.heap = realloc(w.heap, w.size * sizeof(*w.heap));
        if (!w.heap)
            abort();
    }
    w.heap[w.count] = (struct event){u64_max(at_ns, w.now_ns), w.orders++, run, arg, number};
    sift_up(w.count++);
}

bool world_run(uint64_t until_ns, bool (*done)(void))
{
    while (!(done && done())) {
        if (w.count == 0 || w.heap[0].at_ns > until_ns) {
            w.now_ns = u64_max(w.now_ns, until_ns == UINT64_MAX ? 0 : until_ns);
            return !done;
        }
        struct event e = w.heap[0];
        if (--w.count > 0)
            sift_down();
        w.now_ns = e.at_ns;
        e.run(e.arg, e.number);
    }
    return true;
}

uint64_t world_now(void)
{
    return w.now_ns;
}

/* ---- tasks ---- */

static void task_free(struct task *t)
{
    struct task **at = &w.tasks;
    while (*at != t)
        at = &(*at)->next;
    *at = t->next;
    free(t);
}

/* What a resumption is numbered by: the wait that it ends, and whether somebody woke the task. */
#define BY_TIME(wait) (2 * (wait))
#define BY_WAKE(wait) (2 * (wait) + 1)

/* A task's turn, unless it has been resumed otherwise since, or its machine stands still. One that
 * was woken and gets no CPU gets none for its deadline either. */
static void resume(void *arg, uint64_t number)
{
    struct task *t = arg;
    if (!t->blocked || t->wait != number / 2 || (t->resumed_due && number % 2 == 0))
        return;
    uint64_t until_ns = world_paused_until(t->node);
    if (until_ns > w.now_ns) {
        world_at(until_ns + chance_below(&w.chance, 100 * SIM_US), resume, t, number);
        return;
    }
    t->blocked = false;
    t->resumed_due = false;
    w.current = t;
    bool ended = fiber_resume(t->fiber);
    w.current = NULL;
    t->ended = ended;
}

/* From what wakes a thread to its first instruction. On a busy machine one of the application's
 * may be left aside for as long as trust lasts, and longer. */
static uint64_t wake_delay_ns(const struct task *t)
{
    if (w.busy_percent && strcmp(t->name, "call") == 0 && chance_percent(&w.chance, 6))
        return chance_below(&w.chance, 7 * SIM_S);
    if (w.busy_percent && chance_percent(&w.chance, w.busy_percent))
        return chance_below(&w.chance, 30 * SIM_MS);
    return 1 * SIM_US + chance_below(&w.chance, 40 * SIM_US);
}

static void wake(struct task *t)
{
    if (!t->blocked || t->resumed_due)
        return;
    t->resumed_due = true;
    world_at(w.now_ns + wake_delay_ns(t), resume, t, BY_WAKE(t->wait));
}

struct task *task_start(int node, const char *name, fiber_fn run, void *arg, uint64_t delay_ns)
{
    struct task *t = calloc(1, sizeof(*t));
    if (!t)
        abort();
    *t = (struct task){.fiber = fiber_create(run, arg), .next = w.tasks, .node = node,
                       .name = name, .blocked = true, .resumed_due = true, .fd = -1,
                       .wake_fd = -1};
    w.tasks = t;
    world_at(w.now_ns + delay_ns, resume, t, BY_WAKE(0));
    return t;
}

struct task *task_current(void)
{
    return w.current;
}

void task_wait(uint64_t until_ns)
{
    struct task *t = w.current;
    t->blocked = true;
    t->resumed_due = false;
    t->wait++;
    if (until_ns != CLOCK_NEVER_NS)
        world_at(until_ns, resume, t, BY_TIME(t->wait));
    fiber_yield();
    t->word = NULL;
    t->fd = t->wake_fd = -1;
}

void task_sleep(uint64_t ns)
{
    uint64_t until_ns = w.now_ns + ns;
    while (w.now_ns < until_ns)
        task_wait(until_ns);
}

void task_wake_word(_Atomic uint32_t *word)
{
    for (struct task *t = w.tasks; t; t = t->next)
        if (t->word == word && !t->ended)
            wake(t);
}

void task_wake_fd(int fd)
{
    for (struct task *t = w.tasks; t; t = t->next)
        if (fd >= 0 && (t->fd == fd || t->wake_fd == fd) && !t->ended)
            wake(t);
}

void task_wake_node(int node)
{
    for (struct task *t = w.tasks; t; t = t->next)
        if (t->node == node && !t->ended)
            wake(t);
}

void task_wake_named(int node, const char *name)
{
    for (struct task *t = w.tasks; t; t = t->next)
        if (t->node == node && !t->ended && strcmp(t->name, name) == 0)
            wake(t);
}

unsigned task_count(int node)
{
    unsigned count = 0;
    for (struct task *t = w.tasks; t; t = t->next)
        count += t->node == node && !t->ended;
    return count;
}

/* ---- machines ---- */

void world_pause_node(int node, uint64_t until_ns)
{
    w.paused_until[node] = u64_max(w.paused_until[node], until_ns);
}

uint64_t world_paused_until(int node)
{
    return node < 0 ? 0 : w.paused_until[node];
}

void world_set_busy(unsigned percent)
{
    w.busy_percent = percent;
}

/* ---- notes ---- */

void world_trace(int node, const char *format, ...)
{
    uint64_t us = (w.now_ns - SIM_START_NS) / 1000;
    printf("  %4llu.%06llu  ", (unsigned long long)(us / 1000000),
           (unsigned long long)(us % 1000000));
    if (node >= 0)
        printf("n%-3d ", node);
    else
        printf("     ");
    va_list args;
    va_start(args, format);
    vprintf(format, args);
    va_end(args);
    putchar('\n');
}

void world_fail(const char *rule, const char *format, ...)
{
    if (w.failed)
        return;
    va_list args;
    va_start(args, format);
    vsnprintf(w.failed_text, sizeof(w.failed_text), format, args);
    va_end(args);
    w.failed = rule;
    TRACE(-1, "FAILED %s: %s", rule, w.failed_text);
}

const char *world_failed_rule(void)
{
    return w.failed;
}

const char *world_failed_text(void)
{
    return w.failed_text;
}

/* ---- life ---- */

void world_init(uint64_t seed)
{
    struct event *heap = w.heap;
    size_t size = w.size;
    memset(&w, 0, sizeof(w));
    w.heap = heap;
    w.size = size;
    w.now_ns = SIM_START_NS;
    w.chance.state = chance_mix(seed, 1);
}

void world_fini(void)
{
    while (w.tasks) {
        if (!w.tasks->ended)
            fiber_abandon(w.tasks->fiber);
        task_free(w.tasks);
    }
    w.count = 0;
}
