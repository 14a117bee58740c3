// SPDX-License-Identifier: MIT
// The reasons of an outage. The lock guards a text that people read once in a while.

#include "l2/outage.h"

#include <stdio.h>
#include <string.h>

void outage_init(struct outage *o, const char *reason, uint64_t now_ns)
{
    pthread_mutex_init(&o->lock, NULL);
    o->told_count = 0;
    o->now[0] = '\0';
    outage_note(o, reason, now_ns);
}

void outage_fini(struct outage *o)
{
    pthread_mutex_destroy(&o->lock);
}

void outage_note(struct outage *o, const char *reason, uint64_t now_ns)
{
    pthread_mutex_lock(&o->lock);
    if (o->now[0] == '\0')
        o->since_ns = now_ns;
    snprintf(o->now, sizeof(o->now), "%s", reason);
    pthread_mutex_unlock(&o->lock);
}

void outage_over(struct outage *o)
{
    pthread_mutex_lock(&o->lock);
    o->now[0] = '\0';
    pthread_mutex_unlock(&o->lock);
}

bool outage_end(struct outage *o)
{
    bool told = o->told_count > 0;
    o->told_count = 0;
    outage_over(o);
    return told;
}

void outage_read(struct outage *o, uint64_t now_ns, struct l2_problem *ret)
{
    pthread_mutex_lock(&o->lock);
    strcpy(ret->text, o->now);
    ret->for_ms = o->now[0] ? (now_ns - o->since_ns) / NS_PER_MS : 0;
    pthread_mutex_unlock(&o->lock);
}

static uint64_t hash_of(const char *reason)
{
    return hash_bytes(bytes_of_string(reason));
}

bool outage_is_news(const struct outage *o, const char *reason)
{
    uint64_t hash = hash_of(reason);
    for (uint32_t i = 0; i < o->told_count; i++)
        if (o->told[i] == hash)
            return false;
    return o->told_count < OUTAGE_TOLD;
}

void outage_told(struct outage *o, const char *reason)
{
    if (o->told_count < OUTAGE_TOLD)
        o->told[o->told_count++] = hash_of(reason);
}
