// SPDX-License-Identifier: MIT
// Faults and their ends. One server is the right one to ask (`primary`); a flap sends nodes to the
// other, promoted, while the first lives on, and back.

#include "sim/fault.h"

#include <string.h>

#include "sim/net.h"
#include "sim/node.h"

static struct {
    const struct schedule *schedule;
    int primary;
    struct store copy;         /* as of the last STEP_COPY */
    uint64_t copied_ns;
    bool has_copy;
    unsigned flapped;          /* nodes at the other server */
    bool flaps[SIM_NODES_MAX];
    unsigned splitting;        /* nodes that are still to leave the old master */
    bool swapped;
    uint64_t swapped_ns;       /* when the databases were last exchanged */
    bool returning;            /* some of them have come back already */
    unsigned clocks;           /* that there were when the first did */
    uint64_t healed_ns;        /* when the last one did */
    uint64_t lost_until_ns;
    uint64_t usual_ns;
} f;

static struct server *primary(void)
{
    return &servers[f.primary];
}

static struct server *other(void)
{
    return &servers[1 - f.primary];
}

static void lost(int server, uint64_t since_ns)
{
    judge_lost(server, since_ns);
    if (since_ns != CLOCK_NEVER_NS)
        f.lost_until_ns = world_now() + LOST_NS;
}

/* ---- the copy ---- */

static void copy_now(void)
{
    store_copy(&f.copy, &primary()->store);
    f.copied_ns = world_now();
    f.has_copy = true;
}

static void take_copy(struct server *s)
{
    store_copy(&s->store, &f.copy);
    judge_forgotten(f.copied_ns);
}

/* ---- evictions ---- */

static bool is_evicted(const struct value *v, int what)
{
    bool own = memchr(v->key, '!', v->key_len);
    bool data = v->type == TYPE_STRING && v->string.len > 4 && !memcmp(v->string.data, "NIGH", 4);
    switch (what) {
    case 0: return own && v->key_len > 3 && !memcmp(v->key + v->key_len - 3, "clk", 3);
    case 1: return own && v->type == TYPE_STREAM;
    case 2: return own && memmem(v->key, v->key_len, "lease:", 6);
    default: return data;
    }
}

static void evict(struct server *s, int what)
{
    for (unsigned d = 0; d < STORE_DBS; d++) {
        struct db *db = &s->store.dbs[d];
        for (size_t i = 0; i < db->count;) {
            struct value *v = db->values[i];
            if (is_evicted(v, what))
                store_remove(&s->store, d, bytes_of(v->key, v->key_len), server_wall_ms(s));
            else
                i++;
        }
    }
}

/* ---- ends ---- */

static void come_back(void *arg, uint64_t number)
{
    struct server *s = arg;
    (void)number;
    s->down = false;
}

static void calm_down(void *arg, uint64_t kind)
{
    (void)arg;
    if (kind == STEP_SLOW) {
        net_set_delay(f.usual_ns, 0, 0);
        net_set_late(0);
    }
    if (kind == STEP_BUSY)
        world_set_busy(0);
    if (kind == STEP_SLOW_ORIGIN)
        origin_manners.slow_percent = 0;
}

static void end_two_masters(void)
{
    for (int i = 0; i < SERVERS; i++)
        judge_valid(i, true);
    f.lost_until_ns = world_now() + LOST_NS;
}

static void flap_back(void *arg, uint64_t node)
{
    (void)arg;
    if (!f.flaps[node])
        return;
    if (!f.returning)
        f.clocks = judge_clocks();
    f.returning = true;
    f.flaps[node] = false;
    f.flapped--;
    net_route((int)node, f.primary);
    net_cut((int)node, 1 - f.primary);
    if (f.flapped == 0) {
        f.healed_ns = world_now();
        f.returning = false;
        net_cut_server(1 - f.primary);
        other()->down = true;
        end_two_masters();
    }
}

static void swap_back(void *arg, uint64_t number)
{
    (void)arg, (void)number;
    if (!f.swapped)
        return;
    store_swap_dbs(&primary()->store, 0, 1);
    f.swapped = false;
    lost(f.primary, f.swapped_ns);
    f.swapped_ns = world_now();
}

/* ---- beginnings ---- */

/* One server at a time is enough to be wrong about. */
static bool is_disturbed(void)
{
    return f.flapped || f.swapped || f.splitting;
}

static void restart(const struct step *step)
{
    struct server *s = primary();
    if (is_disturbed())
        return;
    s->down = true;
    net_cut_server(s->index);
    if (step->b == 0 || step->b == 3 || (step->b == 2 && !f.has_copy))
        store_clear(&s->store);
    else if (step->b == 2)
        take_copy(s);
    judge_lost(s->index, CLOCK_NEVER_NS); /* another identity: nothing is excused */
    server_new_replid(s);
    s->scripts_known = 0;
    s->paused_until_ns = 0;
    world_at(world_now() + step->ms * SIM_MS, come_back, s, 0);
}

/* The other server comes up with the copy, under a new name. */
static void promote(void)
{
    struct server *s = other();
    if (!f.has_copy)
        copy_now();
    take_copy(s);
    server_new_replid(s);
    s->scripts_known = 0;
    s->down = false;
    s->paused_until_ns = 0;
    judge_lost(s->index, CLOCK_NEVER_NS);
}

static void failover(void)
{
    if (is_disturbed())
        return;
    promote();
    primary()->down = true;
    net_cut_server(f.primary);
    f.primary = 1 - f.primary;
    for (int i = 0; i < f.schedule->nodes; i++)
        net_route(i, f.primary);
}

/* Each takes changes of which the other will know nothing. */
static void begin_two_masters(void)
{
    promote();
    for (int i = 0; i < SERVERS; i++)
        judge_valid(i, false);
}

static void flap(int node, uint32_t ms)
{
    if (f.flaps[node] || f.swapped || f.splitting)
        return;
    if (f.flapped == 0)
        begin_two_masters();
    f.flaps[node] = true;
    f.flapped++;
    net_route(node, 1 - f.primary);
    net_cut(node, f.primary);
    world_at(world_now() + ms * SIM_MS, flap_back, NULL, (uint64_t)node);
}

/* The last of them has left the old master, which is taken down. */
static void split_end(void)
{
    net_cut_server(f.primary);
    primary()->down = true;
    f.primary = 1 - f.primary;
    f.splitting = 0;
    end_two_masters();
}

static void split_move(void *arg, uint64_t node)
{
    (void)arg;
    if (!f.splitting || net_routed((int)node) != f.primary)
        return;
    net_route((int)node, 1 - f.primary);
    net_cut((int)node, f.primary);
    if (--f.splitting == 0)
        split_end();
}

/* A failover of which each node learns in its own time; until then it writes to the old master. */
static void split(const struct step *step)
{
    if (is_disturbed())
        return;
    begin_two_masters();
    f.splitting = (unsigned)f.schedule->nodes;
    for (int i = 0; i < f.schedule->nodes; i++) {
        uint64_t share = i == step->node ? 0 : 1 + (uint64_t)(i + step->b) % 3;
        world_at(world_now() + share * step->ms * SIM_MS / 3, split_move, NULL, (uint64_t)i);
    }
}

static void reload(void)
{
    if (!f.has_copy || is_disturbed())
        return;
    store_copy(&primary()->store, &f.copy);
    lost(f.primary, f.copied_ns);
}

/* It has another name then, and what the other had. Whoever writes meanwhile is refused, and the
 * connection ends; who does not has no reason to look before the next beat. */
static void demote(void)
{
    if (!f.has_copy || is_disturbed())
        return;
    reload();
    server_new_replid(primary());
}

static void swap_away(const struct step *step)
{
    if (is_disturbed())
        return;
    store_swap_dbs(&primary()->store, 0, 1);
    f.swapped = true;
    lost(f.primary, f.swapped_ns ? f.swapped_ns : CLOCK_NEVER_NS);
    f.swapped_ns = world_now();
    world_at(world_now() + step->ms * SIM_MS, swap_back, NULL, 0);
}

static void step_wall(int32_t by_ms)
{
    for (int i = 0; i < SERVERS; i++)
        servers[i].wall_offset_ms += (uint64_t)(int64_t)by_ms;
    judge_stepped();
}

static void disturb(const struct step *step)
{
    uint64_t until_ns = world_now() + step->ms * SIM_MS;
    switch (step->kind) {
    case STEP_SLOW:
        if (step->b < 2)
            net_set_delay(f.usual_ns, 30, 400 * SIM_MS);
        else
            net_set_late((300 + step->ms % 1000) * SIM_MS);
        break;
    case STEP_BUSY: world_set_busy(20); break;
    case STEP_SLOW_ORIGIN:
        origin_manners.slow_percent = 60;
        origin_manners.slow_ns = step->b == 3 ? 8 * SIM_S : 300 * SIM_MS;
        break;
    default: origin_manners.fails_until_ns = until_ns;
    }
    world_at(until_ns, calm_down, NULL, step->kind);
}

static void block(const struct step *step, uint64_t until_ns)
{
    enum net_way way = step->b == 2 ? NET_DOWN : step->b == 3 ? NET_UP : NET_BOTH;
    net_block(step->node, net_routed(step->node), way, until_ns);
}

void fault_start(const struct step *step)
{
    uint64_t until_ns = world_now() + step->ms * SIM_MS;
    switch (step->kind) {
    case STEP_CUT: net_cut(step->node, -1); break;
    case STEP_BLOCK: block(step, until_ns); break;
    case STEP_PAUSE: world_pause_node(step->node, until_ns); break;
    case STEP_PAUSE_REDIS: primary()->paused_until_ns = until_ns; break;
    case STEP_DEAF: net_deaf(step->node, until_ns); break;
    case STEP_EVICT: evict(primary(), step->key); break;
    case STEP_RESTART: restart(step); break;
    case STEP_COPY: copy_now(); break;
    case STEP_FAILOVER: failover(); break;
    case STEP_FLAP: flap(step->node, step->ms); break;
    case STEP_FLAP_ALL:
        for (int i = 0; i < f.schedule->nodes; i++)
            flap(i, step->ms + (uint32_t)i % 7);
        break;
    case STEP_SPLIT: split(step); break;
    case STEP_RELOAD: reload(); break;
    case STEP_DEMOTE: demote(); break;
    case STEP_SWAPDB: swap_away(step); break;
    case STEP_WALL: step_wall(step->by_ms); break;
    default: disturb(step);
    }
}

void faults_end(void)
{
    for (int i = 0; i < f.schedule->nodes; i++) {
        flap_back(NULL, (uint64_t)i);
        split_move(NULL, (uint64_t)i);
    }
    swap_back(NULL, 0);
    primary()->down = false;
    primary()->paused_until_ns = 0;
    calm_down(NULL, STEP_SLOW);
    calm_down(NULL, STEP_BUSY);
    calm_down(NULL, STEP_SLOW_ORIGIN);
    origin_manners.fails_until_ns = 0;
}

uint64_t faults_lost_until(void)
{
    return f.lost_until_ns;
}

uint64_t faults_healed(unsigned *ret_clocks)
{
    *ret_clocks = f.clocks;
    return f.healed_ns;
}

void faults_init(const struct schedule *s)
{
    memset(&f, 0, sizeof(f));
    f.schedule = s;
    f.usual_ns = 300 * SIM_US;
    net_set_delay(f.usual_ns, 0, 0);
    servers[1].down = true;
    origin_manners = (struct origin_manners){.slow_ns = 300 * SIM_MS};
}

void faults_fini(void)
{
    store_clear(&f.copy);
}
