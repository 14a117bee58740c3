// SPDX-License-Identifier: MIT
// The reasons of an outage. The lock guards a text that people read once in a while.

#include "l2/outage.h"

#include <stdio.h>
#include <string.h>

void outage_init(struct outage *o, const char *reason, uint64_t now_ns)
{
    pthread_mutex_init(&o->lock, NULL);
    o->told_count = 0;
    o->first[0] = o->now[0] = o->began[0] = o->last[0] = '\0';
    outage_note(o, reason, now_ns);
    o->failed = false;
}

void outage_fini(struct outage *o)
{
    pthread_mutex_destroy(&o->lock);
}

void outage_note(struct outage *o, const char *reason, uint64_t since_ns)
{
    pthread_mutex_lock(&o->lock);
    if (o->now[0] == '\0')
        o->since_ns = since_ns;
    if (!o->failed)
        snprintf(o->first, sizeof(o->first), "%s", reason);
    snprintf(o->now, sizeof(o->now), "%s", reason);
    o->failed = true;
    pthread_mutex_unlock(&o->lock);
}

void outage_retell(struct outage *o, bool (*is)(const char *reason), const char *reason)
{
    pthread_mutex_lock(&o->lock);
    if (is(o->first))
        snprintf(o->first, sizeof(o->first), "%s", reason);
    if (is(o->now))
        snprintf(o->now, sizeof(o->now), "%s", reason);
    pthread_mutex_unlock(&o->lock);
}

bool outage_tells(struct outage *o, const char *reason)
{
    pthread_mutex_lock(&o->lock);
    bool tells = strcmp(o->now, reason) == 0;
    pthread_mutex_unlock(&o->lock);
    return tells;
}

void outage_drop(struct outage *o)
{
    pthread_mutex_lock(&o->lock);
    o->failed = false;
    pthread_mutex_unlock(&o->lock);
}

void outage_over(struct outage *o, uint64_t now_ns)
{
    pthread_mutex_lock(&o->lock);
    if (o->now[0] && o->failed) {
        memcpy(o->began, o->first, sizeof(o->began));
        memcpy(o->last, o->now, sizeof(o->last));
        o->began_ns = o->since_ns;
        o->ended_ns = now_ns;
    }
    o->first[0] = o->now[0] = '\0';
    o->failed = false;
    pthread_mutex_unlock(&o->lock);
}

bool outage_end(struct outage *o, uint64_t now_ns)
{
    bool told = o->told_count > 0;
    o->told_count = 0;
    outage_over(o, now_ns);
    return told;
}

static uint64_t ms_between(uint64_t from_ns, uint64_t to_ns)
{
    return to_ns > from_ns ? (to_ns - from_ns) / NS_PER_MS : 0;
}

void outage_read(struct outage *o, uint64_t now_ns, struct l2_problem *ret)
{
    pthread_mutex_lock(&o->lock);
    strcpy(ret->first, o->failed ? o->first : o->now);
    strcpy(ret->text, o->now);
    ret->for_ms = o->now[0] ? ms_between(o->since_ns, now_ns) : 0;
    pthread_mutex_unlock(&o->lock);
}

void outage_read_last(struct outage *o, uint64_t now_ns, struct l2_outage *ret)
{
    *ret = (struct l2_outage){.ago_ms = 0};
    pthread_mutex_lock(&o->lock);
    strcpy(ret->first, o->began);
    strcpy(ret->text, o->last);
    if (o->last[0]) {
        ret->ago_ms = ms_between(o->ended_ns, now_ns);
        ret->lasted_ms = ms_between(o->began_ns, o->ended_ns);
    }
    pthread_mutex_unlock(&o->lock);
}

/* Returns how long the number is that stands alone here, with the blank before it; 0: none does. */
static size_t number_len(const char *at)
{
    size_t digits = at[0] == ' ' ? strspn(at + 1, "0123456789") : 0;
    char next = at[0] == ' ' ? at[1 + digits] : '\0';
    return digits > 0 && (next == ' ' || next == '\0') ? 1 + digits : 0;
}

/* Hashes a reason without the numbers that stand alone in it: another count is no news. */
static uint64_t hash_of(const char *reason)
{
    char text[L2_PROBLEM_BYTES];
    size_t len = 0;
    for (const char *at = reason; *at && len < sizeof(text);) {
        at += number_len(at);
        if (*at)
            text[len++] = *at++;
    }
    return hash_bytes(bytes_of(text, len));
}

bool outage_is_news(const struct outage *o, const char *reason)
{
    uint64_t hash = hash_of(reason);
    for (uint32_t i = 0; i < o->told_count; i++)
        if (o->told[i] == hash)
            return false;
    return o->told_count < OUTAGE_TOLD;
}

struct log_site *outage_site(struct outage *o, struct log_site *first)
{
    o->own = (struct log_site){0};
    return o->told_count > 0 ? &o->own : first;
}

void outage_told(struct outage *o, const char *reason)
{
    if (o->told_count < OUTAGE_TOLD)
        o->told[o->told_count++] = hash_of(reason);
}
