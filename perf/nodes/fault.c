// SPDX-License-Identifier: MIT
/*
 * The table of faults and their steps.
 *
 * Where clients are moved, both servers take writes for the moment between the first and the last
 * connection that moves, and a client may connect just while the path is moved: hence the second
 * time that connections to the server that was left are ended.
 *
 * A node that is killed, or stands still, has left nothing in Redis but what Redis had accepted,
 * and perhaps leases.
 */
#include "nodes/fault.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>

#include "nodes/shared.h"
#include "support/fail.h"

#define REPLACED_NS (3 * PERF_NS_PER_S) /* another node is there by then, and knows the clock */
#define AWAKE_NS (PERF_NS_PER_S / 2)    /* its own watcher looks again by then */

static bool kill_master(struct fault *f)
{
    redis_server_kill(&f->servers->master);
    return true;
}

static bool begin_anew(struct fault *f)
{
    char folder[sizeof(f->servers->master.folder)];
    memcpy(folder, f->servers->master.folder, sizeof(folder));
    f->up_ns = now_ns();
    redis_server_start(&f->servers->master, folder);
    return true;
}

static bool promote(struct fault *f)
{
    return servers_tell(f->servers, &f->servers->replica, "REPLICAOF NO ONE");
}

static bool leave_master(struct fault *f)
{
    return servers_end_clients(f->servers, &f->servers->master);
}

static bool leave_replica(struct fault *f)
{
    return servers_end_clients(f->servers, &f->servers->replica);
}

static bool go_to_replica(struct fault *f)
{
    return servers_point(f->servers, &f->servers->replica) && leave_master(f);
}

static bool go_back(struct fault *f)
{
    return servers_point(f->servers, &f->servers->master) && leave_replica(f);
}

/* No connection is left that could be ended. */
static bool follow_promoted(struct fault *f)
{
    f->up_ns = now_ns();
    return promote(f) && servers_point(f->servers, &f->servers->replica);
}

/* Begins a snapshot: it may have what Redis has accepted before, and nothing from here on. */
static bool save(struct fault *f)
{
    history_snapshot(f->history, now_ns());
    return servers_tell(f->servers, &f->servers->master, "SAVE");
}

static bool load_again(struct fault *f)
{
    history_forgetting(f->history, now_ns());
    bool well = servers_tell(f->servers, &f->servers->master, "DEBUG RELOAD NOSAVE");
    uint64_t now = now_ns();
    history_forgotten(f->history, now, now + f->bound_ns);
    return well;
}

/* ---- Redis, as it is ---- */

static bool pause_master(struct fault *f)
{
    return redis_server_signal(&f->servers->master, SIGSTOP);
}

static bool resume_master(struct fault *f)
{
    return redis_server_signal(&f->servers->master, SIGCONT);
}

static bool fill_up(struct fault *f)
{
    return servers_tell(f->servers, &f->servers->master,
                        "CONFIG SET maxmemory-policy noeviction maxmemory 1");
}

static bool make_room(struct fault *f)
{
    return servers_tell(f->servers, &f->servers->master, "CONFIG SET maxmemory 0");
}

static bool evict_clock(struct fault *f)
{
    char command[120];
    snprintf(command, sizeof(command), "DEL %s:!2:!clk", f->prefix);
    return servers_tell(f->servers, &f->servers->master, command);
}

/* ---- connections ---- */

static bool cut_listeners(struct fault *f)
{
    return servers_tell(f->servers, &f->servers->master, "CLIENT KILL TYPE pubsub SKIPME yes");
}

static bool cut_data(struct fault *f)
{
    return servers_tell(f->servers, &f->servers->master, "CLIENT KILL TYPE normal SKIPME yes");
}

static bool lose_messages(struct fault *f)
{
    relay_deafen(&f->servers->relay, true);
    return true;
}

static bool hear_messages(struct fault *f)
{
    relay_deafen(&f->servers->relay, false);
    return true;
}

static bool slow_down(struct fault *f)
{
    relay_slow(&f->servers->relay, 100, 125000);
    return true;
}

static bool speed_up(struct fault *f)
{
    relay_slow(&f->servers->relay, 0, 0);
    return true;
}

static bool nothing(struct fault *f)
{
    (void)f;
    return true;
}

/* ---- nodes: the first stands still, the last is killed ---- */

/* For the judge of loads: its leases ran out, or its loads may have reached nobody. */
static void note_away(struct fault *f, uint32_t node, uint64_t from_ns, uint64_t to_ns)
{
    struct loads loads = shared_loads(f->nodes.shared);
    loads_add_trouble(&loads, &(struct trouble){from_ns, 0, to_ns, node, TROUBLE_AWAY});
}

static bool stop_node(struct fault *f)
{
    f->stopped_ns = now_ns();
    return kill(f->nodes.pids[0], SIGSTOP) == 0;
}

static bool resume_node(struct fault *f)
{
    note_away(f, 0, f->stopped_ns, now_ns() + AWAKE_NS);
    return kill(f->nodes.pids[0], SIGCONT) == 0;
}

static bool kill_node(struct fault *f)
{
    uint32_t last = f->nodes.count - 1;
    uint64_t now = now_ns();
    kill(f->nodes.pids[last], SIGKILL);
    waitpid(f->nodes.pids[last], NULL, 0);
    f->nodes.pids[last] = 0;
    shared_origin_lost(f->nodes.shared, last);
    note_away(f, last, now, now + REPLACED_NS);
    f->nodes.start(f->nodes.arg, last);
    return true;
}

#define ONCE(after_s, take, what) {after_s, take, what, false}
#define AGAIN(after_s, take, what) {after_s, take, what, true}

static const struct fault_kind kinds[] = {
    {"kill-redis", "it is killed; 2 s later it is there, empty", FAULT_ALONE,
     {ONCE(0, kill_master, "Redis killed"),
      ONCE(2, begin_anew, "begun anew, empty")}},
    {"failover", "the master dies; 1 s later its replica is it", FAULT_REPLICA,
     {ONCE(0, kill_master, "master killed"),
      ONCE(1, follow_promoted, "clients to replica")}},
    {"flap", "clients go to a replica, 2.5 s later back", FAULT_REPLICA,
     {ONCE(0, promote, "replica promoted"),
      ONCE(0.25, go_to_replica, "clients to replica"),
      ONCE(0.35, leave_master, NULL),
      ONCE(2.75, go_back, "clients back"),
      ONCE(2.85, leave_replica, NULL)}},
    {"reload", "it loads a snapshot of 2 s ago in place", FAULT_ALONE,
     {ONCE(-2, save, "snapshot saved"),
      ONCE(0, load_again, "snapshot loaded")}},
    {"pause-redis", "it stands still for 4 s, beyond all trust", FAULT_ALONE,
     {ONCE(0, pause_master, "Redis stopped"),
      ONCE(4, resume_master, "Redis goes on")}},
    {"oom-redis", "it has no memory left for 3 s", FAULT_ALONE,
     {ONCE(0, fill_up, "memory full"),
      ONCE(3, make_room, "room again")}},
    {"evict-clock", "its order of changes is evicted, alone", FAULT_ALONE,
     {ONCE(0, evict_clock, "clock evicted")}},
    {"cut-listener", "listeners are cut, again and again, for 2 s", FAULT_ALONE,
     {AGAIN(0, cut_listeners, "listeners cut"),
      ONCE(2, nothing, "left alone")}},
    {"cut-data", "requests are cut off, 3 times in a second", FAULT_ALONE,
     {ONCE(0, cut_data, "connections cut"),
      ONCE(0.4, cut_data, NULL),
      ONCE(0.8, cut_data, NULL)}},
    {"cut-writer", "changes are cut off, all the time, for 2 s", FAULT_ALONE,
     {AGAIN(0, cut_data, "changes cut off"),
      ONCE(2, nothing, "left alone")}},
    {"drop-messages", "for 3 s messages are lost, and none knows", FAULT_RELAY,
     {ONCE(0, lose_messages, "messages lost"),
      ONCE(3, hear_messages, "heard again")}},
    {"slow-link", "for 4 s 100 ms late each way, at 1 Mbit/s", FAULT_RELAY,
     {ONCE(0, slow_down, "link slow"),
      ONCE(4, speed_up, "link as before")}},
    {"stop-node", "a node stands still for 5 s, beyond its trust", FAULT_ALONE,
     {ONCE(0, stop_node, "node stopped"),
      ONCE(5, resume_node, "node goes on")}},
    {"slow-subscriber", "a node reads nothing for 2 s; it is cut off", FAULT_ALONE,
     {ONCE(0, stop_node, "node stopped"),
      ONCE(1, cut_listeners, "listeners ended"),
      ONCE(2, resume_node, "node goes on")}},
    {"kill-node", "a node is killed, and another takes its place", FAULT_ALONE,
     {ONCE(0, kill_node, "node replaced")}},
};
#define KIND_COUNT (sizeof(kinds) / sizeof(kinds[0]))
_Static_assert(KIND_COUNT <= FAULT_KINDS_MAX, "all of them have results");

const struct fault_kind *fault_kind(uint32_t number)
{
    return number < KIND_COUNT ? &kinds[number] : NULL;
}

const struct fault_kind *fault_named(const char *name, uint32_t *ret_number)
{
    for (uint32_t i = 0; i < KIND_COUNT; i++)
        if (strcmp(kinds[i].name, name) == 0) {
            *ret_number = i;
            return &kinds[i];
        }
    return NULL;
}

double fault_lead_s(const struct fault_kind *kind)
{
    return kind->steps[0].after_s < 0 ? -kind->steps[0].after_s : 0;
}

double fault_tail_s(const struct fault_kind *kind)
{
    double last_s = 0;
    for (uint32_t i = 0; i < FAULT_STEPS_MAX && kind->steps[i].take; i++)
        last_s = kind->steps[i].after_s;
    return last_s;
}

static bool is_due(const struct fault *f, uint64_t now)
{
    return f->next < FAULT_STEPS_MAX && f->kind->steps[f->next].take &&
           (double)(now - f->begin_ns) >= (f->at_s + f->kind->steps[f->next].after_s) * 1e9;
}

bool fault_drive(struct fault *f, uint64_t now)
{
    if (!f->kind)
        return true;
    if (!is_due(f, now))
        return !f->repeats || f->kind->steps[f->next - 1].take(f);
    const struct fault_step *step = &f->kind->steps[f->next++];
    f->repeats = step->again;
    if (step->what)
        f->events[f->event_count++] = (struct fault_event){step->what, now};
    return step->take(f);
}
