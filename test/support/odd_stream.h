/* SPDX-License-Identifier: MIT */
/*
 * odd_stream.h - a stream over real sockets that does all that a stream may do, often.
 *
 *     config.stream = odd_stream(&(struct odd_habits){.short_writes = 2, ...});
 *
 * It takes whatever the socket has and gives it away in pieces, while the socket shows nothing any
 * more. It writes a part of what it is given, or nothing. It says that it wants room before it can
 * read. And now and then it turns to the server before it takes more: it sends a PING of its own,
 * and takes no byte until the reply to that has come, behind the replies to all that was sent
 * before; which it does once before anything else, too, if it has to agree.
 *
 * It ends the test program when it is used by two threads at once, or when what it has not taken
 * does not come first in the next write. No password and no TLS: PING has to be allowed always.
 */
#ifndef NIGH_TEST_ODD_STREAM_H
#define NIGH_TEST_ODD_STREAM_H

#include "l2/stream.h"

/* Each a chance of one in so many calls; 0: never. */
struct odd_habits {
    unsigned piece_max;   /* a read gives 1 to so many bytes */
    unsigned short_writes;
    unsigned no_writes;   /* for want of room */
    unsigned wants_room;  /* a read */
    unsigned wants_input; /* a write: it turns to the server */
    unsigned late_reads;  /* nothing, though there was something */
    bool agrees;
};

/* How often it was so, in all streams since odd_stream(). */
struct odd_counts {
    _Atomic unsigned opened, closed, held, short_writes, no_writes, wanted_room, wanted_input,
        agreed;
};
extern struct odd_counts odd_counts;

/* Fails agreements from here on with these words; NULL: no more. */
void odd_stream_refuse(const char *words);
const struct stream_kind *odd_stream(const struct odd_habits *habits);

#endif
