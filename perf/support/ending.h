/* SPDX-License-Identifier: MIT */
/*
 * How a measurement is ended from outside: SIGINT, SIGTERM, SIGHUP.
 *
 * Nothing is left behind: what ending_add() was told of is undone, also at exit(). Processes that
 * were started end with this one (PR_SET_PDEATHSIG). A signal that was ignored when the program
 * began stays so: `nohup perf/run ...` outlives its terminal.
 */
#ifndef PERF_ENDING_H
#define PERF_ENDING_H

#define ENDING_STATUS 130 /* as a shell has it after Ctrl-C */

/* Have `undo` called before this process ends, the last one first; never in a forked child. */
void ending_add(void (*undo)(void));

/* Have `handler` called on these signals: for commands that end by themselves, in good order. */
void ending_on_signal(void (*handler)(int signal_number));

/* Or end at once on them: say so, undo, leave with ENDING_STATUS. */
void ending_catch(void);
/* Returns unless that is under way on another thread: who fails meanwhile has nothing to say. */
void ending_yield(void);

#endif
