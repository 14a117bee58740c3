/* SPDX-License-Identifier: MIT */
/*
 * Command lines, alike for all commands: from one table of options they are read and --help is
 * made. What every command has is here alone: --json and --html (support/output.h), --help, and
 * that a Debug build refuses to measure.
 */
#ifndef PERF_OPTIONS_H
#define PERF_OPTIONS_H

#include <stdbool.h>

#include "support/output.h"

#define OPTIONS_MAX 32u

struct option_row {
    const char *name;     /* without "--"; NULL ends the table */
    const char *value;    /* what stands for its value in the help; NULL: it takes none */
    const char *help;     /* with the default in brackets; NULL: it is not for people */
    const char *commands; /* "hit write": it belongs to these alone; NULL: to all */
};

/* Options of the user's servers, which may be in the environment. */
#define OPTIONS_CONF      "NIGH_CONF"
#define OPTIONS_CONF_SAID "NIGH_PERF_CONF" /* what they were, where a program has added its own */

enum command_conf {
    CONF_COUNTS,  /* as for any program, and figures say so; what is a server's own is refused */
    CONF_TAKEN,   /* the same, but that of Redis the command takes what it wants */
    CONF_IGNORED,
};

struct command_line {
    const char *usage;  /* lines of "perf/run NAME [OPTION...]", without a first "Usage:" */
    const char *about;  /* what question it answers; ends with a newline */
    const char *status; /* what exit statuses mean; ends with a newline */
    const struct option_row *options;
    /* Takes row number `row`; `text` is NULL where it has no value. */
    void (*take)(void *settings, int row, const char *name, char *text);
    bool measures;      /* --json, --html; a Debug build refuses */
    enum command_conf conf;
};

/*
 * Read argv, whose first word may be `name`, the command's. What is wrong ends the process with a
 * word about it, --help with the help. Returns the place in argv of the first word that is no
 * option: they are moved to the end.
 */
int options_read(const struct command_line *c, const char *name, void *settings,
                 struct output *ret_output, int argc, char **argv);

/* A copy without passwords, nor the users before them in a URI: for who reads figures later. The
 * caller frees it. */
char *options_without_secrets(const char *text);

#endif
