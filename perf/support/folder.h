/* SPDX-License-Identifier: MIT */
/*
 * A temporary folder that is gone when the process ends, and copies of files.
 */
#ifndef PERF_FOLDER_H
#define PERF_FOLDER_H

/* Make one below $TMPDIR (or /tmp); removed with all in it at the end (ending.h). Once
 * per process. */
const char *folder_create(const char *prefix);
/* Remove it now. Idempotent. */
void folder_remove(void);

void folder_copy_file(const char *from, const char *to);
/* mkdir -p. */
void folder_make(const char *path);

#endif
