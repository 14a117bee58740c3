// SPDX-License-Identifier: MIT
// Running one schedule: open the nodes, take the steps in their time, heal what was broken, look
// whether all comes to rest, close.

#include <stdio.h>
#include <string.h>

#include "sim/fault.h"
#include "sim/net.h"
#include "sim/node.h"
#include "sim/op.h"

#define SETTLE_NS (25 * SIM_S)   /* connecting anew may take 5 s, a silent link 3 s before it */
#define CALL_NS (60 * SIM_S)     /* all calls of the end, tried again and again */
#define FOLLOW_NS (2500 * SIM_MS) /* two beats with their jitter, and a connection made anew */
#define LOAD_SLACK_NS (8 * SIM_S) /* from reading the origin to the fill, and half of trust */

static const struct schedule *now;

static void take_step(void *arg, uint64_t number)
{
    const struct step *s = &now->steps[number];
    (void)arg;
    if (world_failed_rule())
        return;
    if (s->kind < STEP_CUT) {
        op_start(s);
        return;
    }
    if (world_tracing) {
        char text[128];
        step_print(s, text, sizeof(text));
        TRACE(-1, "%s", text);
    }
    fault_start(s);
}

static void open_nodes(const struct schedule *s)
{
    const struct scenario *scenario = s->scenario;
    struct chance c = {chance_mix(s->seed, 5)};
    for (int i = 0; i < s->nodes; i++) {
        struct node_options o = {
            .seed = chance_mix(s->seed, 100 + (uint64_t)i),
            .schema = scenario->two_schemas && i % 2 ? "2" : "1",
            .run_on_worker = chance_percent(&c, 30),
            .apart = scenario->apart && chance_percent(&c, 70),
            .soft_ttl_ms = scenario->soft_ttl_ms ? scenario->soft_ttl_ms : NODE_SOFT_TTL_MS,
        };
        node_open(i, &o);
    }
}

static bool is_failed(void)
{
    return world_failed_rule() != NULL;
}

static bool is_over(void)
{
    return op_running() == 0;
}

static bool is_over_or_failed(void)
{
    return is_failed() || is_over();
}

static bool all_quiet(void)
{
    for (int i = 0; i < now->nodes; i++)
        if (!node_is_quiet(i))
            return false;
    return true;
}

static bool settle(void)
{
    uint64_t until_ns = world_now() + SETTLE_NS;
    while (world_now() < until_ns && !is_failed()) {
        world_run(world_now() + 100 * SIM_MS, is_failed);
        if (is_over() && all_quiet())
            return true;
    }
    return is_failed();
}

/* Many nodes come back from a flap together: one of them renews the clock, all follow that one. */
static void check_one_clock(const struct schedule *s)
{
    unsigned before;
    uint64_t healed_ns = faults_healed(&before), first;
    if (healed_ns == 0 || !s->scenario->judges_clocks)
        return;
    world_run(healed_ns + FOLLOW_NS, is_failed);
    unsigned made = judge_clocks() - before;
    if (made != 1)
        world_fail("one clock", "%u new clocks were made after the flap", made);
    first = node_clock(0);
    for (int i = 0; i < s->nodes; i++)
        if (node_clock(i) != first || first == 0)
            world_fail("one clock", "n%d follows %016llx, n0 %016llx", i,
                       (unsigned long long)node_clock(i), (unsigned long long)first);
}

/* The end: everything works again, and so must the nodes. */
static void finish(const struct schedule *s)
{
    TRACE(-1, "all is well again");
    faults_end();
    check_one_clock(s);
    if (!settle()) {
        int i = 0;
        while (i < s->nodes - 1 && node_is_quiet(i))
            i++;
        world_fail("settled", "n%d is not at rest %llu s after the last fault, %u calls run", i,
                   SETTLE_NS / SIM_S, op_running());
    }
    if (is_failed())
        return;
    uint64_t lost_ns = faults_lost_until();
    world_run(u64_max(lost_ns, world_now()) + SIM_MS, is_failed);
    world_run(world_now() + (NODE_TRUST_MS + 100) * SIM_MS, is_failed);
    judge_begin_end();
    op_start_final(s->nodes);
    if (!world_run(world_now() + CALL_NS, is_over_or_failed))
        world_fail("settled", "%u calls do not return", op_running());
}

static void close_nodes(const struct schedule *s)
{
    faults_end();
    world_run(world_now() + CALL_NS, is_over);
    for (int i = 0; i < s->nodes; i++)
        if (!node_close(i))
            world_fail("settled", "n%d cannot be closed: work is left", i);
}

const char *schedule_run(const struct schedule *s)
{
    struct judge_config judge = {
        .trust_ns = NODE_TRUST_MS * SIM_MS,
        .lifetime_ns = LOAD_SLACK_NS + SIM_MS * (s->scenario->soft_ttl_ms ? s->scenario->soft_ttl_ms
                                                                         : NODE_SOFT_TTL_MS),
        .judges_back = s->scenario->judges_back,
        .keeps_data = s->scenario->keeps_data,
        .judges_puts = s->scenario->judges_puts,
    };
    now = s;
    world_init(s->seed);
    judge_init(&judge);
    net_init(s->seed);
    servers_init(s->seed);
    faults_init(s);
    ops_init(s->scenario->judges_puts, s->scenario->behind);
    open_nodes(s);
    for (uint32_t i = 0; i < s->count; i++)
        world_at(SIM_START_NS + s->steps[i].at_ns, take_step, NULL, i);
    uint64_t end_ns = s->count ? s->steps[s->count - 1].at_ns : 0;
    world_run(SIM_START_NS + u64_max(end_ns, s->end_ns), is_failed);
    if (!is_failed())
        finish(s);
    close_nodes(s);
    net_fini();
    servers_fini();
    faults_fini();
    world_fini();
    return world_failed_rule();
}
