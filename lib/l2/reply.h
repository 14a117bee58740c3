/* SPDX-License-Identifier: MIT */
/*
 * Replies of Redis as a small tree of our own, and the reader that makes them from a byte stream.
 *
 * Nothing that a server sends is trusted: a bulk, a line, a whole reply, its elements and its depth
 * each have a limit, checked before memory is taken for them. Past a limit, or malformed, the
 * reader is poisoned and the connection has to go.
 */
#ifndef NIGH_L2_REPLY_H
#define NIGH_L2_REPLY_H

#include "base/base.h"

enum reply_type {
    REPLY_NIL,
    REPLY_STATUS,
    REPLY_ERROR,
    REPLY_STRING,
    REPLY_INTEGER,
    REPLY_ARRAY,
    REPLY_LEFT, /* a string of an array for which there was no room under the limit */
};

/* A node; its bytes or elements lie behind it in the same piece of memory. */
struct reply {
    enum reply_type type;
    uint32_t count; /* ARRAY */
    struct mem *mem; /* allocated from here; NULL: it lies in a room (reader_use_room) */
    size_t size;             /* bytes, if it was allocated */
    int64_t integer;         /* INTEGER */
    struct bytes bytes;      /* STATUS, ERROR, STRING */
    struct reply **elements; /* ARRAY */
};

/* The whole tree; NULL is fine. */
void reply_free(struct reply *reply);

/* Element i as a string of exactly `len` bytes (any length when len is SIZE_MAX), or NULL data. */
struct bytes reply_string_at(const struct reply *array, uint32_t i, size_t len);
/* Element i if it is an integer, else `otherwise`. */
int64_t reply_integer_at(const struct reply *array, uint32_t i, int64_t otherwise);
/* Whether it is an error whose first word is `code`. */
bool reply_has_code(const struct reply *error, const char *code);
static inline bool reply_is_error(const struct reply *reply, const char *code)
{
    return reply->type == REPLY_ERROR && reply_has_code(reply, code);
}

struct redisReader;

/* Keys: all by the one thread that reads the connection. */
struct reader {
    struct redisReader *hiredis;
    struct mem *mem;
    size_t bulk_max;     /* largest string */
    size_t reply_max;    /* bytes of an array's strings; bytes on the wire beside them */
    size_t pending;      /* bytes fed since the last whole reply */
    size_t kept;         /* bytes of the reply in strings that were taken ... */
    size_t left;         /* ... and in strings that were left out */
    size_t largest;      /* most bytes that were pending: the buffer has grown to this */
    uint32_t nodes_left; /* elements that the reply being read may still announce */
    bool no_memory;
    bool is_resp3; /* a reply has begun with a type of RESP3, which was not asked for */
    char *room; /* where the next node goes, if it fits */
    size_t room_left;
    bool room_is_replys; /* the room is part of the reply that is being read */
};

/* 0 or NIGH_ENOMEM. */
int reader_init(struct reader *r, struct mem *mem, size_t bulk_max);
void reader_fini(struct reader *r);

/* Sets where nodes go from here on, if they fit: memory (16-byte aligned) of the reply's receiver.
 * Until it is told otherwise, and not beyond reader_fini(). */
void reader_use_room(struct reader *r, void *room, size_t size);

/* Take one reply from the beginning of data[0 .. len), if it is of the usual kind, whole there, and
 * nothing is pending. Returns the bytes that it had; 0: feed the rest; NIGH_ENOMEM. */
long reader_take(struct reader *r, const char *data, size_t len, struct reply **ret_reply);
/* Add bytes from the wire. 0 or NIGH_ENOMEM. */
int reader_feed(struct reader *r, const void *data, size_t len);
/* 1 and a reply; 0 not there yet; NIGH_EREDIS malformed or over a limit; NIGH_ENOMEM. */
int reader_next(struct reader *r, struct reply **ret_reply);

#endif
