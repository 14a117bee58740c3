/* SPDX-License-Identifier: MIT */
/*
 * Progress on stderr: one line that is written over on a terminal; elsewhere, where each line
 * stays, none but those with a share, and these not more than one every ten seconds.
 *
 * A command is so many parts that take about as long as one another; it says of the part at hand
 * how much is done. The time that is left is guessed from that and the time since the plan was
 * made. Who makes no plan has one part.
 */
#ifndef PERF_PROGRESS_H
#define PERF_PROGRESS_H

/* Begin with so many parts. */
void progress_plan(unsigned parts);
/* Say how much of the part at hand is done (0..1), and what is being done. */
__attribute__((format(printf, 2, 3))) void progress_share(double done, const char *fmt, ...);
/* The part at hand is done. */
void progress_next(void);

/* Say what is being done now, on a terminal only: for what does not know how long it takes. */
__attribute__((format(printf, 1, 2))) void progress(const char *fmt, ...);

/* Wipe the line: something is to be printed. */
void progress_end(void);

#endif
