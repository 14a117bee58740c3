/* SPDX-License-Identifier: MIT */
/*
 * The page around the pictures: one file that loads nothing, right in light and dark and on a
 * phone, and well-formed XML, so that a strict parser can check it.
 */
#ifndef PERF_REPORT_PAGE_H
#define PERF_REPORT_PAGE_H

#include <stdio.h>

void page_begin(FILE *out, const char *title);
void page_end(FILE *out);

/* Somebody else's text, harmless in text and in attributes. */
void page_text(FILE *out, const char *text);
/* The same, cut to so many letters. */
void page_text_cut(FILE *out, const char *text, size_t most);

#endif
