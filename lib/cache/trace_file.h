/* SPDX-License-Identifier: MIT */
/*
 * The file of a recording, as it is written: nigh/trace.h has its format.
 *
 * It ends where the next record would pass `trace.size`: the beginning stays, for a recording that
 * starts in its middle has no names and no warm cache. Nothing waits for the disk but the thread
 * that writes. A disk that is full ends the recording, and so does any other error; what was
 * written stays, and a record that is cut off there is ignored by those who read it.
 *
 * Thread-safety: none; one thread at a time.
 */
#ifndef NIGH_CACHE_TRACE_FILE_H
#define NIGH_CACHE_TRACE_FILE_H

#include <nigh/trace.h>

#include "base/base.h"

#define TRACE_BUFFER_RECORDS 1024u

struct trace_file {
    int fd;               /* 0: closed */
    int error;            /* errno of what has ended the recording; 0: nothing has */
    bool full;
    uint64_t size_max;
    uint64_t size;        /* bytes of records and header, buffered ones too */
    uint64_t last_us;     /* time of the last record, on the clock of those who record */
    uint32_t count;       /* records that are buffered */
    struct nigh_trace_header header;
    struct nigh_trace_record records[TRACE_BUFFER_RECORDS];
};

/* Create the file at `path`, in which "{pid}" stands for this process, and write its header. A file
 * that is there is replaced, by a new one under its name, if it is empty or a recording. Errors:
 * NIGH_EOPTION, explained. */
int trace_file_open(struct trace_file *f, const char *path, uint64_t size_max, uint32_t sample,
                    uint64_t l1_memory, uint64_t now_us);
/* Add a record whose time is `at_us`; delta_us is filled in. False: the recording has ended. */
bool trace_file_add(struct trace_file *f, struct nigh_trace_record record, uint64_t at_us);
/* Add the name of a space, and the number of its group. */
bool trace_file_add_space(struct trace_file *f, uint16_t number, struct bytes name,
                          uint16_t group);
/* Write what is buffered, how many were dropped, and how many reads there were, of any keys. False:
 * the recording has ended. */
bool trace_file_flush(struct trace_file *f, uint64_t dropped, uint64_t reads);
/* Close the file. Does nothing to one that is closed. */
void trace_file_close(struct trace_file *f);

#endif
