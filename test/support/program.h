/* SPDX-License-Identifier: MIT */
/*
 * program.h - a program that a test starts: its first line read, ended by signal, its status known.
 *
 * It dies with the thread that started it (PR_SET_PDEATHSIG), and its stderr is the test's.
 */
#ifndef NIGH_TEST_PROGRAM_H
#define NIGH_TEST_PROGRAM_H

#include <sys/types.h>

struct program {
    pid_t pid; /* 0: ended */
    int out;   /* the reading end of its stdout */
};

/* argv ends with NULL; argv[0] is the program's path. conf: its NIGH_CONF. */
void program_start(struct program *p, char *const *argv, const char *conf);

/* The first line that it prints, without its newline. What does not come ends the test. */
void program_first_line(struct program *p, char *line, size_t size);

/* End it with SIGTERM, or SIGKILL, and wait for it. Returns its exit status; -1: a signal's. */
int program_stop(struct program *p);
void program_kill(struct program *p);

#endif
