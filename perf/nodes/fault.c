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
#include "support/redis_ask.h"

#define REPLACED_NS (3 * PERF_NS_PER_S) /* another node is there by then, and knows the clock */
#define AWAKE_NS (PERF_NS_PER_S / 2)    /* its own watcher looks again by then */
#define LOOK_EVERY_NS (50 * PERF_NS_PER_MS)
#define CATCH_NS (20 * PERF_NS_PER_MS) /* so long a load is waited for at a time */
#define CUT_OFF "for overcoming of output buffer limits" /* in the log of Redis */
#define SHORT_LIFE_S 2 /* of a certificate */
/* A master that was replaced accepts changes until its replicas have left it, or have been silent
 * for min-replicas-max-lag, which is looked at once a second. */
#define OLD_MASTER_MS 3000

/* For the judge of loads: its leases ran out, or its loads may have reached nobody. Its own clients
 * knew nothing of it. */
static void note_away(struct fault *f, uint32_t node, uint64_t from_ns, uint64_t to_ns)
{
    struct loads loads = shared_loads(f->nodes.shared);
    loads_add_trouble(&loads, &(struct trouble){from_ns, to_ns, to_ns, node, TROUBLE_AWAY});
}

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
    return servers_tell(f->servers, &f->servers->replicas[0], "REPLICAOF NO ONE");
}

static bool leave_master(struct fault *f)
{
    return servers_end_clients(f->servers, &f->servers->master);
}

static bool leave_replica(struct fault *f)
{
    return servers_end_clients(f->servers, &f->servers->replicas[0]);
}

static bool go_to_replica(struct fault *f)
{
    return servers_point(f->servers, &f->servers->replicas[0]) && leave_master(f);
}

static bool go_back(struct fault *f)
{
    return servers_point(f->servers, &f->servers->master) && leave_replica(f);
}

/* No connection is left that could be ended. */
static bool follow_promoted(struct fault *f)
{
    f->up_ns = now_ns();
    return promote(f) && servers_point(f->servers, &f->servers->replicas[0]);
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
    char reply[120];
    bool gone = redis_ask(&f->servers->master, reply, sizeof(reply), "DEL %s:!2:!clk", f->prefix) &&
                strcmp(reply, "1") == 0;
    if (!gone)
        snprintf(f->servers->error, sizeof(f->servers->error), "no clock to evict: %s", reply);
    return gone;
}

/* ---- Sentinels ---- */

static bool replace_master(struct fault *f)
{
    f->before = servers_master_port(f->servers);
    f->left_ns = now_ns();
    f->asked = servers_replace(f->servers);
    return true;
}

static bool lose_master(struct fault *f)
{
    f->before = f->servers->master.port;
    kill_master(f);
    f->up_ns = now_ns(); /* none of those that are left has taken a change yet */
    return true;
}

static bool is_replaced(struct fault *f)
{
    int port = servers_master_port(f->servers);
    return port != 0 && port != f->before;
}

/* They refuse while they are still busy with the one before. */
static bool is_replaced_as_asked(struct fault *f)
{
    if (!f->asked)
        f->asked = servers_replace(f->servers);
    return is_replaced(f);
}

/* Whether all nodes have met the new master. Until then each may have had another than the others
 * have, and all of them work: its loads are its own. */
static bool have_followed(struct fault *f)
{
    uint64_t met_ns[NODES_MAX];
    for (uint32_t node = 0; node < f->nodes.count; node++) {
        met_ns[node] = atomic_load_explicit(&f->nodes.shared->nodes[node].resynced_ns,
                                            memory_order_relaxed);
        if (met_ns[node] < f->left_ns)
            return false;
    }
    for (uint32_t node = 0; node < f->nodes.count; node++)
        note_away(f, node, f->left_ns, met_ns[node]);
    return true;
}

/* The master that was left is asked to be a replica after 8 s or so. */
static bool is_whole(struct fault *f)
{
    return servers_are_whole(f->servers);
}

/* ---- passwords and certificates ---- */

static bool add_password(struct fault *f)
{
    return servers_tell(f->servers, &f->servers->master,
                        "ACL SETUSER nigh >" SERVERS_SECOND_PASSWORD);
}

static bool hand_out_password(struct fault *f)
{
    return servers_hand_out(f->servers, SERVERS_SECOND_PASSWORD);
}

static bool drop_password(struct fault *f)
{
    return servers_tell(f->servers, &f->servers->master,
                        "ACL SETUSER nigh <" SERVERS_FIRST_PASSWORD);
}

static bool end_user(struct fault *f)
{
    return servers_tell(f->servers, &f->servers->master, "CLIENT KILL USER nigh");
}

/* Nodes meet it: it was good when they did. */
static bool show_short_certificate(struct fault *f)
{
    return servers_certify(f->servers, SHORT_LIFE_S) && leave_master(f);
}

static bool show_new_certificate(struct fault *f)
{
    return servers_certify(f->servers, 0);
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

static struct node *last_node(struct fault *f)
{
    return &f->nodes.shared->nodes[f->nodes.count - 1];
}

static bool is_loading(struct fault *f)
{
    return atomic_load_explicit(&last_node(f)->origin_now, memory_order_relaxed) > 0;
}

/* Kills it while it loads, so that leases are left which nobody gives back: stands it still first,
 * and lets it go on if no load has been caught. False: not yet. */
static bool has_killed_in_a_load(struct fault *f)
{
    uint32_t last = f->nodes.count - 1;
    pid_t pid = f->nodes.pids[last];
    int status;
    for (uint64_t until = now_ns() + CATCH_NS; !is_loading(f) && now_ns() < until;)
        sleep_ns(PERF_NS_PER_MS / 50);
    if (kill(pid, SIGSTOP) != 0 || waitpid(pid, &status, WUNTRACED) != pid)
        return false;
    if (!WIFSTOPPED(status)) {
        f->nodes.pids[last] = 0; /* it has ended by itself, which ends the run */
        return false;
    }
    if (!is_loading(f)) {
        kill(pid, SIGCONT);
        return false;
    }
    f->count = (uint32_t)atomic_load_explicit(&last_node(f)->origin_now, memory_order_relaxed);
    f->counted = "load";
    f->left_ns = now_ns();
    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
    return true;
}

static bool start_another(struct fault *f)
{
    uint32_t last = f->nodes.count - 1;
    f->nodes.pids[last] = 0;
    shared_origin_lost(f->nodes.shared, last);
    note_away(f, last, f->left_ns, f->left_ns + REPLACED_NS);
    f->nodes.start(f->nodes.arg, last);
    return true;
}

/* On a busy machine it may take longer than was noted. */
static bool is_in_its_place(struct fault *f)
{
    if (!atomic_load_explicit(&last_node(f)->trusted, memory_order_relaxed))
        return false;
    note_away(f, f->nodes.count - 1, f->left_ns, now_ns());
    return true;
}

/* ---- a listener that Redis has enough of ---- */

static int64_t listeners_lost(const struct fault *f)
{
    return atomic_load_explicit(&f->nodes.shared->nodes[0].listeners_lost, memory_order_relaxed);
}

/* Has little patience with listeners, and one of them that reads no more. */
static bool stop_listener(struct fault *f)
{
    f->lost = listeners_lost(f);
    f->before = servers_log_count(&f->servers->master, CUT_OFF);
    return servers_tell(f->servers, &f->servers->master,
                        "CONFIG SET client-output-buffer-limit %s", "pubsub 256kb 0 0") &&
           stop_node(f);
}

/* Others change so much that what it does not read fills the kernel's buffer, and then Redis'. */
static bool begin_flood(struct fault *f)
{
    atomic_store_explicit(&f->nodes.shared->flood, true, memory_order_relaxed);
    return true;
}

/* By Redis' own words: a listener may also be missing because its node connects again. */
static bool is_cut_off(struct fault *f)
{
    int now = servers_log_count(&f->servers->master, CUT_OFF);
    if (now <= f->before)
        return false;
    f->count = (uint32_t)(now - f->before);
    f->counted = "listener";
    return true;
}

/* And by the node's own: it was its listener, and no other's. */
static bool has_noticed(struct fault *f)
{
    return listeners_lost(f) > f->lost;
}

static bool end_flood(struct fault *f)
{
    atomic_store_explicit(&f->nodes.shared->flood, false, memory_order_relaxed);
    return true;
}

#define ONCE(after_s, take, what) {after_s, take, what, false, NULL}
#define AGAIN(after_s, take, what) {after_s, take, what, true, NULL}
#define UNTIL(after_s, take, what, until) {after_s, take, what, false, until}

static const struct fault_kind kinds[] = {
    {"kill-redis", "it is killed; 2 s later it is there, empty", SERVERS_ONE,
     .signs = FAULT_TAKES_REDIS,
     .steps = {ONCE(0, kill_master, "Redis killed"),
               ONCE(2, begin_anew, "begun anew, empty")}},
    {"failover", "the master dies; Sentinels replace it", SERVERS_WITH_SENTINELS,
     .signs = FAULT_TAKES_REDIS,
     .steps = {UNTIL(0, lose_master, "master killed", is_replaced),
               ONCE(0, nothing, "it is replaced")}},
    {"flap", "Sentinels replace a master that lives, twice", SERVERS_WITH_SENTINELS,
     .late_ms = OLD_MASTER_MS,
     .signs = FAULT_TAKES_REDIS | FAULT_RENEWS,
     .steps = {UNTIL(0, replace_master, "failover asked for", is_replaced_as_asked),
               UNTIL(0, nothing, "it is replaced", have_followed),
               UNTIL(0, nothing, "nodes followed", is_whole),
               UNTIL(0, replace_master, "and once more", is_replaced_as_asked),
               UNTIL(0, nothing, "replaced again", have_followed),
               ONCE(0, nothing, "nodes followed too")}},
    {"move", "it dies; 1 s later clients find its replica", SERVERS_WITH_REPLICA,
     .signs = FAULT_TAKES_REDIS,
     .steps = {ONCE(0, kill_master, "master killed"),
               ONCE(1, follow_promoted, "clients to replica")}},
    {"move-back", "clients go to a replica, 2.5 s later back", SERVERS_WITH_REPLICA,
     .signs = FAULT_RENEWS,
     .steps = {ONCE(0, promote, "replica promoted"),
               ONCE(0.25, go_to_replica, "clients to replica"),
               ONCE(0.35, leave_master, NULL),
               ONCE(2.75, go_back, "clients back"),
               ONCE(2.85, leave_replica, NULL)}},
    {"reload", "it loads a snapshot of 2 s ago in place", SERVERS_ONE,
     .signs = FAULT_RENEWS,
     .steps = {ONCE(-2, save, "snapshot saved"),
               ONCE(0, load_again, "snapshot loaded")}},
    {"pause-redis", "it stands still for 4 s, beyond all trust", SERVERS_ONE,
     .signs = FAULT_TAKES_TRUST,
     .steps = {ONCE(0, pause_master, "Redis stopped"),
               ONCE(4, resume_master, "Redis goes on")}},
    {"oom-redis", "it has no memory left for 3 s", SERVERS_ONE,
     .signs = FAULT_TAKES_REDIS,
     .steps = {ONCE(0, fill_up, "memory full"),
               ONCE(3, make_room, "room again")}},
    {"evict-clock", "its order of changes is evicted, alone", SERVERS_ONE,
     .signs = FAULT_RENEWS,
     .steps = {ONCE(0, evict_clock, "clock evicted")}},
    {"cut-listener", "listeners are cut, again and again, for 2 s", SERVERS_ONE,
     .signs = FAULT_DELAYS,
     .steps = {AGAIN(0, cut_listeners, "listeners cut"),
               ONCE(2, nothing, "left alone")}},
    {"cut-data", "requests are cut off, 3 times in a second", SERVERS_ONE,
     .signs = FAULT_TAKES_REDIS,
     .steps = {ONCE(0, cut_data, "connections cut"),
               ONCE(0.4, cut_data, NULL),
               ONCE(0.8, cut_data, NULL)}},
    {"cut-writer", "changes are cut off, all the time, for 2 s", SERVERS_ONE,
     .signs = FAULT_TAKES_REDIS,
     .steps = {AGAIN(0, cut_data, "changes cut off"),
               ONCE(2, nothing, "left alone")}},
    {"drop-messages", "for 3 s messages are lost, and none knows", SERVERS_WITH_RELAY,
     .signs = FAULT_DELAYS,
     .steps = {ONCE(0, lose_messages, "messages lost"),
               ONCE(3, hear_messages, "heard again")}},
    {"slow-link", "for 4 s 100 ms late each way, at 1 Mbit/s", SERVERS_WITH_RELAY,
     .signs = FAULT_TAKES_REDIS,
     .steps = {ONCE(0, slow_down, "link slow"),
               ONCE(4, speed_up, "link as before")}},
    {"stop-node", "a node stands still for 5 s, beyond its trust", SERVERS_ONE,
     .signs = FAULT_TAKES_TRUST,
     .steps = {ONCE(0, stop_node, "node stopped"),
               ONCE(5, resume_node, "node goes on")}},
    {"slow-subscriber", "a node reads nothing; Redis cuts it off", SERVERS_ONE, .nodes = 2,
     .signs = FAULT_COUNTS,
     .steps = {ONCE(0, stop_listener, "node stopped"),
               UNTIL(0.5, begin_flood, "changes by MiB", is_cut_off),
               ONCE(0.5, end_flood, "its listener ended"),
               UNTIL(2, resume_node, "node goes on", has_noticed),
               ONCE(2, nothing, "it has noticed")}},
    {"rotate-password", "another takes its place; logins are ended", SERVERS_WITH_LOGIN,
     .calls_hold = true,
     .signs = FAULT_TAKES_REDIS,
     .steps = {ONCE(0, add_password, "two passwords"),
               ONCE(0.1, hand_out_password, "nodes are told"),
               ONCE(2.5, drop_password, "the old one ended"),
               ONCE(2.6, end_user, "logins ended")}},
    {"expire-certificate", "it expires, and 3 s later there is another", SERVERS_WITH_TLS,
     .signs = FAULT_TAKES_REDIS,
     .steps = {ONCE(-2, show_short_certificate, "it is good for 2 s"),
               ONCE(0, nothing, "it has expired"),
               ONCE(1, leave_master, "connections ended"),
               ONCE(3, show_new_certificate, "there is another")}},
    {"kill-node", "a node is killed, and another takes its place", SERVERS_ONE,
     .signs = FAULT_COUNTS,
     .steps = {UNTIL(0, nothing, "a load is awaited", has_killed_in_a_load),
               UNTIL(0, start_another, "killed in a load", is_in_its_place),
               ONCE(0, nothing, "another is there")}},
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

/* Whether what the last step waits for is not there yet; looked at now and then. */
static bool still_waits(struct fault *f, uint64_t now)
{
    if (f->waits && now - f->looked_ns >= LOOK_EVERY_NS) {
        f->waits = !f->kind->steps[f->next - 1].until(f);
        f->looked_ns = now;
    }
    return f->waits;
}

static bool is_due(const struct fault *f, uint64_t now)
{
    return !fault_is_over(f) &&
           (double)(now - f->begin_ns) >= (f->at_s + f->kind->steps[f->next].after_s) * 1e9;
}

static bool take_next(struct fault *f, uint64_t now)
{
    struct checker_allowance *allowance = &f->nodes.shared->allowance;
    if (f->next == 0)
        atomic_store_explicit(&allowance->from_ns, now, memory_order_relaxed);
    const struct fault_step *step = &f->kind->steps[f->next++];
    f->repeats = step->again;
    f->waits = step->until != NULL;
    f->since_ns = now;
    if (step->what)
        f->events[f->event_count++] = (struct fault_event){step->what, now};
    return step->take(f);
}

bool fault_is_over(const struct fault *f)
{
    return !f->kind ||
           (!f->waits && (f->next == FAULT_STEPS_MAX || !f->kind->steps[f->next].take));
}

/* Notes when the fault was over, for those that judge reads. */
static void note_end(struct fault *f, uint64_t now)
{
    _Atomic uint64_t *over_ns = &f->nodes.shared->allowance.over_ns;
    if (fault_is_over(f) && atomic_load_explicit(over_ns, memory_order_relaxed) == 0)
        atomic_store_explicit(over_ns, now, memory_order_relaxed);
}

bool fault_drive(struct fault *f, uint64_t now)
{
    if (!f->kind)
        return true;
    if (still_waits(f, now)) {
        snprintf(f->servers->error, sizeof(f->servers->error), "%s: \"%s\" had no effect",
                 f->kind->name, f->kind->steps[f->next - 1].what);
        return now - f->since_ns < FAULT_PATIENCE_S * PERF_NS_PER_S;
    }
    if (is_due(f, now))
        return take_next(f, now);
    note_end(f, now);
    return !f->repeats || f->kind->steps[f->next - 1].take(f);
}
