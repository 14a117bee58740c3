// SPDX-License-Identifier: MIT
// Recording beside a real Redis: a change of this node is in the file once, as what it was, however
// soon the node hears of it through Redis.

#include <nigh/trace.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "support/origin.h"

#define CHANGES 500u

struct counts {
    uint64_t puts, invalidations, dropped;
};

static struct redis server;
static struct world w;

/* Reads the file of one process in which each key was recorded. */
static struct counts read_recording(const char *path)
{
    struct nigh_trace_header header;
    struct nigh_trace_record record;
    struct counts ret = {0};
    FILE *f = fopen(path, "rb");
    REQUIRE(f);
    REQUIRE_EQ(fread(&header, sizeof(header), 1, f), 1);
    ret.dropped = header.dropped;
    while (fread(&record, sizeof(record), 1, f) == 1) {
        ret.puts += record.op == NIGH_TRACE_PUT;
        ret.invalidations += record.op == NIGH_TRACE_INVALIDATE;
    }
    fclose(f);
    return ret;
}

/* Changes that Redis has not executed at once are queued, and then told as invalidations. */
TEST(own_changes_are_recorded_once_as_what_they_were)
{
    char path[128], key[24];
    uint64_t queued = 0;
    redis_start(&server, NULL);
    snprintf(path, sizeof(path), "%s/recording", server.dir);
    struct nigh_options o = patient_options(&server);
    o.trace_file = path;
    o.trace_sample = 1;
    origin_init(&w.origin);
    world_open_with(&w, &o, NULL, &w.origin);
    REQUIRE(CHECK_WITHIN(WORLD_PATIENCE_MS, nigh_health(w.cache) == NIGH_FRESH));
    for (unsigned i = 0; i < CHANGES; i++) {
        snprintf(key, sizeof(key), "put:%u", i);
        queued += nigh_put(w.space, key, strlen(key), "value", 5, NULL) != 0;
    }
    for (unsigned i = 0; i < CHANGES; i++) {
        snprintf(key, sizeof(key), "gone:%u", i);
        queued += nigh_invalidate(w.space, key, strlen(key), NULL) != 0;
    }
    world_close(&w);
    struct counts found = read_recording(path);
    CHECK_LE(found.invalidations, CHANGES + queued);
    CHECK_GE(found.invalidations + found.dropped + queued, CHANGES);
    CHECK_LE(found.puts, CHANGES);
    CHECK_GE(found.puts + found.dropped + queued, CHANGES);
    unlink(path);
    redis_stop(&server);
}
