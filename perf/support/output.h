/* SPDX-License-Identifier: MIT */
/*
 * Where figures go beside the terminal: a file of JSON, and a page that perf_report makes of it.
 */
#ifndef PERF_OUTPUT_H
#define PERF_OUTPUT_H

#include <stdio.h>

struct output {
    const char *command;     /* whose figures they are */
    const char *line;        /* "load --rate 5k": what was asked for, without where it goes */
    const char *json, *html; /* NULL: not wanted */
};

/* End the process with a word if they cannot be written: better now than when all is measured. */
void output_check(const struct output *o);

/* The file to write JSON to: the one that is wanted, a temporary one for the page, or NULL. */
const char *output_json(struct output *o);

/* Close a file that was written; the end of the process if not all of it has got there. */
void output_close(FILE *file, const char *path);

/* The end of the process if what was printed did not get out. */
void output_flush(void);

/* Make the page, of what was written there. To be called at the end, whatever is wanted: it is an
 * output_flush(), too. */
void output_page(const struct output *o);

/* The path of a program that lies where this one does; the caller frees it. */
char *output_sibling(const char *name);

#endif
