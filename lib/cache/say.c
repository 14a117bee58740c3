// SPDX-License-Identifier: MIT
// Durations and times of day in words. Lags are told, too, so a duration begins at .1 ms.

#include "cache/say.h"

/* Returns what one of the last digit stands for that is said of a duration. */
static uint64_t digit_ns(uint64_t ns)
{
    double s = (double)ns / 1e9;
    if (s < 0.00995)
        return NS_PER_MS / 10;
    if (s < 0.9995)
        return NS_PER_MS;
    if (s < 9.95)
        return NS_PER_S / 10;
    if (s < 600)
        return NS_PER_S;
    return s < 36000 ? 60 * NS_PER_S : s < 360000 ? 3600 * NS_PER_S : SECONDS_A_DAY * NS_PER_S;
}

void say_span(struct text *w, uint64_t ns)
{
    double s = (double)ns / 1e9;
    if (s >= 0.00005 && s < 0.00995)
        text_add(w, "%.1f ms", s * 1000);
    else if (s < 0.9995)
        text_add(w, "%.0f ms", s * 1000);
    else if (s < 9.95)
        text_add(w, "%.1f s", s);
    else if (s < 600)
        text_add(w, "%.0f s", s);
    else if (s < 36000)
        text_add(w, "%.0f min", s / 60);
    else if (s < 360000)
        text_add(w, "%.0f h", s / 3600);
    else
        text_add(w, "%.0f days", s / SECONDS_A_DAY);
}

void say_bound(struct text *w, uint64_t ns)
{
    uint64_t digit = digit_ns(ns);
    say_span(w, (ns + digit - 1) / digit * digit);
}

void say_ago(struct text *w, uint64_t ns)
{
    if (ns < NS_PER_S) {
        text_add(w, "just now");
        return;
    }
    say_span(w, ns);
    text_add(w, " ago");
}

/* The coarse clock moves at the ticks at which the one moves by which ages are counted. */
uint64_t say_wall_ns(void)
{
    return clock_kernel_ns(CLOCK_REALTIME_COARSE);
}

void say_clock_at(struct text *w, uint64_t wall_ns, uint64_t ago_ns)
{
    uint64_t now = wall_ns / NS_PER_S, then = (wall_ns - u64_min(ago_ns, wall_ns)) / NS_PER_S;
    struct date date = date_of(then);
    if (then / SECONDS_A_DAY != now / SECONDS_A_DAY)
        text_add(w, "%04u-%02u-%02u ", date.year, date.month, date.day);
    text_add(w, "%02u:%02u:%02u UTC", date.hour, date.minute, date.second);
}

void say_clock(struct text *w, uint64_t ago_ns)
{
    say_clock_at(w, say_wall_ns(), ago_ns);
}

void say_when(struct text *w, uint64_t ago_ns)
{
    say_ago(w, ago_ns);
    text_add(w, ", ");
    say_clock(w, ago_ns);
}

/* ---- as arguments ---- */

static struct said said_by(void (*say)(struct text *, uint64_t), uint64_t ns)
{
    struct said said = {""};
    struct text w = text_into(said.text, sizeof(said.text));
    say(&w, ns);
    return said;
}

struct said said_span(uint64_t ns)
{
    return said_by(say_span, ns);
}

struct said said_bound(uint64_t ns)
{
    return said_by(say_bound, ns);
}

struct said said_when(uint64_t ago_ns)
{
    return said_by(say_when, ago_ns);
}

struct said said_clock(uint64_t ago_ns)
{
    return said_by(say_clock, ago_ns);
}
