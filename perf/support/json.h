/* SPDX-License-Identifier: MIT */
/*
 * Texts in JSON: names of files and cases may be any bytes.
 */
#ifndef PERF_JSON_H
#define PERF_JSON_H

#include <stdio.h>

/* Write a string of JSON (RFC 8259), quotes included: a byte that is no UTF-8 is taken for a
 * character of Latin-1, as the library's own JSON has it. */
void json_text(FILE *out, const char *text);

#endif
