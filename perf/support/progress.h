/* SPDX-License-Identifier: MIT */
/*
 * Progress on stderr: one line that is written over on a terminal; elsewhere, where
 * each line stays, none but those with a share, and these not more than one every ten seconds.
 */
#ifndef PERF_PROGRESS_H
#define PERF_PROGRESS_H

/* Say what is being done now, on a terminal only. */
__attribute__((format(printf, 1, 2))) void progress(const char *fmt, ...);

/*
 * Say how much of the whole is done (0..1), and the time that the rest takes if it goes
 * on as it did since progress_begin().
 */
__attribute__((format(printf, 2, 3))) void progress_share(double done, const char *fmt, ...);
void progress_begin(void);

/* Wipe the line. */
void progress_end(void);

#endif
