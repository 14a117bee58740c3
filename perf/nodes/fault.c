// SPDX-License-Identifier: MIT
/*
 * The table of faults and their steps.
 *
 * Where clients are moved, both servers take writes for the moment between the first and the last
 * connection that moves, and a client may connect just while the path is moved: hence the second
 * time that connections to the server that was left are ended.
 */
#include "nodes/fault.h"

#include <string.h>

#include "support/fail.h"

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

static const struct fault_kind kinds[] = {
    {"kill-redis", "it is killed; 2 s later it is there again, empty", false,
     {{0, kill_master, "Redis killed"},
      {2, begin_anew, "begun anew, empty"}}},
    {"failover", "the master dies; 1 s later its replica is the master", true,
     {{0, kill_master, "master killed"},
      {1, follow_promoted, "clients to replica"}}},
    {"flap", "clients go to a promoted replica, and 2.5 s later back", true,
     {{0, promote, "replica promoted"},
      {0.25, go_to_replica, "clients to replica"},
      {0.35, leave_master, NULL},
      {2.75, go_back, "clients back"},
      {2.85, leave_replica, NULL}}},
    {"reload", "it loads a snapshot of 2 s ago in place (DEBUG RELOAD)", false,
     {{-2, save, "snapshot saved"},
      {0, load_again, "snapshot loaded"}}},
};
#define KIND_COUNT (sizeof(kinds) / sizeof(kinds[0]))

const struct fault_kind *fault_kind(uint32_t number)
{
    return number < KIND_COUNT ? &kinds[number] : NULL;
}

double fault_lead_s(const struct fault_kind *kind)
{
    return kind->steps[0].after_s < 0 ? -kind->steps[0].after_s : 0;
}

bool fault_drive(struct fault *f, uint64_t now)
{
    if (!f->kind || f->next == FAULT_STEPS_MAX || !f->kind->steps[f->next].take)
        return true;
    const struct fault_step *step = &f->kind->steps[f->next];
    if ((double)(now - f->begin_ns) < (f->at_s + step->after_s) * 1e9)
        return true;
    f->next++;
    if (step->what)
        f->events[f->event_count++] = (struct fault_event){step->what, now};
    return step->take(f);
}
