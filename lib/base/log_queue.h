/* SPDX-License-Identifier: MIT */
/*
 * Lines of the log on their way: from any thread, in order, to one that may be kept waiting.
 *
 *     any thread                                 nigh-log, or a thread that takes the turn
 *     log_queue_push --> [ | | | | ] 128 lines --> log_out_write: hook, stderr, syslog
 *
 * Pushing takes no lock, allocates nothing and waits for nobody. When all places are taken the line
 * is lost and counted, and the next line that finds a place says how many were.
 *
 * The log and its thread own the queue. A hook that does not return keeps the thread's part alive
 * when the log is closed, and nothing of the cache.
 */
#ifndef NIGH_BASE_LOG_QUEUE_H
#define NIGH_BASE_LOG_QUEUE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/log_out.h"

#define LOG_LINE_BYTES 512u                   /* longest message; longer text is cut */
#define LOG_TEXT_BYTES (LOG_LINE_BYTES + 48u) /* with how many were lost before it */

struct log_queue;

/* Errors: NIGH_ENOMEM, NIGH_ETHREAD. */
int log_queue_create(const struct log_out *out, bool own_thread, struct log_queue **ret_queue);
/* Flush the queue until `until_ns` at most, and end it. Nobody may push any more. */
void log_queue_destroy(struct log_queue *q, uint64_t until_ns);

enum nigh_log_level log_queue_level(const struct log_queue *q);
void log_queue_set_level(struct log_queue *q, enum nigh_log_level level);
bool log_queue_wants(const struct log_queue *q, enum nigh_log_level level);
void log_queue_push(struct log_queue *q, enum nigh_log_level level, const char *message);
/* Without own thread: hand out the lines that are there, unless another thread is doing that. */
void log_queue_turn(struct log_queue *q);
/* Wait until all lines pushed before have been handed out, or until `until_ns` by the kernel's
 * monotonic clock. Returns whether they have been. */
bool log_queue_flush(struct log_queue *q, uint64_t until_ns);
uint64_t log_queue_lost(const struct log_queue *q);

#endif
