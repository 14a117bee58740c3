/* SPDX-License-Identifier: MIT */
/*
 * The date of a time, by arithmetic. libc's gmtime_r() and localtime_r() share a lock: held by a
 * thread of ours while the host forks, it is never released in the child, whose own localtime_r()
 * would then hang. (The first call reads files under it, too.)
 */
#ifndef NIGH_BASE_DATE_H
#define NIGH_BASE_DATE_H

#include <stdint.h>

#define SECONDS_A_DAY 86400u

/* A time of UTC; months and days begin at 1. */
struct date {
    unsigned year, month, day, hour, minute, second;
};

/* Returns the date of a time since 1970.
 * Source: H. Hinnant, "chrono-Compatible Low-Level Date Algorithms", civil_from_days. */
static inline struct date date_of(uint64_t seconds)
{
    unsigned in_day = (unsigned)(seconds % SECONDS_A_DAY);
    uint64_t days = seconds / SECONDS_A_DAY + 719468; /* since March 1st of the year 0 */
    unsigned of_era = (unsigned)(days % 146097); /* eras have 400 years, which begin in March */
    unsigned year = (of_era - of_era / 1460 + of_era / 36524 - of_era / 146096) / 365;
    unsigned of_year = of_era - (365 * year + year / 4 - year / 100);
    unsigned month = (5 * of_year + 2) / 153; /* 0: March */
    return (struct date){
        .year = year + (unsigned)(days / 146097) * 400 + (month >= 10),
        .month = month < 10 ? month + 3 : month - 9,
        .day = of_year - (153 * month + 2) / 5 + 1,
        .hour = in_day / 3600,
        .minute = in_day / 60 % 60,
        .second = in_day % 60,
    };
}

#endif
