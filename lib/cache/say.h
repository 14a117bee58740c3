/* SPDX-License-Identifier: MIT */
/*
 * Says durations and times of day to people, the same way everywhere: "6.9 s", or "4 min ago,
 * 02:31:07 UTC". Durations are of our clock; a time of day is the wall clock's, and nothing is
 * decided by it.
 */
#ifndef NIGH_CACHE_SAY_H
#define NIGH_CACHE_SAY_H

#include <stdint.h>

#include "base/base.h"

/* Say a duration in two or three digits, such as "1.2 s" or "3 h". */
void say_span(struct text *w, uint64_t ns);
/* Say one that is a bound: what is said is no less, and as little more as two or three digits can
 * be. */
void say_bound(struct text *w, uint64_t ns);
/* Say how long ago something was. What is less than a second ago is not known better than that. */
void say_ago(struct text *w, uint64_t ns);
/* The wall clock's time, for say_clock_at(): whoever reads it where he reads the ages that he tells
 * says the same time of day of an event, however often he is asked. */
uint64_t say_wall_ns(void);
/* Say the time of day so long before `wall_ns`: "02:31:07 UTC"; what was on another day has a
 * date. */
void say_clock_at(struct text *w, uint64_t wall_ns, uint64_t ago_ns);
/* Say the time of day that was so long ago. */
void say_clock(struct text *w, uint64_t ago_ns);
/* Say both: "4 min ago, 02:31:07 UTC". */
void say_when(struct text *w, uint64_t ago_ns);

/* A time as an argument of printf: said_span(ns).text. */
struct said {
    char text[64];
};
struct said said_span(uint64_t ns);
struct said said_bound(uint64_t ns);
struct said said_when(uint64_t ago_ns);
struct said said_clock(uint64_t ago_ns);

#endif
