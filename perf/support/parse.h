/* SPDX-License-Identifier: MIT */
/*
 * Values of a command line, with their units. What is wrong ends the process with the option's name
 * and what was given for it.
 */
#ifndef PERF_PARSE_H
#define PERF_PARSE_H

#include <stdint.h>

/* A number between the two. */
double parse_number(const char *name, const char *text, double least, double most);
/* A whole number between the two; k and m may follow: "250k". */
uint64_t parse_count(const char *name, const char *text, uint64_t least, uint64_t most);
/* Bytes: "4096", "64k", "96MiB", "1g", as nigh's options take them. */
uint64_t parse_bytes(const char *name, const char *text, uint64_t least, uint64_t most);
/* A time, "200us", "30s", "5m", "1h", "none" (0), in nanoseconds. */
uint64_t parse_time(const char *name, const char *text);
/* "1,2,4": so many at most, each within the limits; ends with 0. Returns their number. */
unsigned parse_list(const char *name, const char *text, unsigned most, unsigned limit,
                    unsigned *ret_list);

#endif
