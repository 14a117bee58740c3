/* SPDX-License-Identifier: MIT */
/*
 * What the host gives a space: a loader that reads the origin, a writer that commits to it.
 */
#ifndef NIGH_LOAD_H
#define NIGH_LOAD_H

#include <stddef.h>
#include <stdint.h>

#include <nigh/error.h>
#include <nigh/options.h>

#ifdef __cplusplus
extern "C" {
#endif
#pragma GCC visibility push(default)

struct nigh_fill;

/**
 * Read keys from the origin and answer each fill exactly once.
 *
 * Today n is 1. The loader may call nigh (other keys too; a cycle is refused with NIGH_EDEADLK).
 * A fill that is not answered counts as failed.
 *
 * Returns   0; anything else fails every fill that has no answer yet
 * Threads   a calling thread or a worker (run_on); never inside a lock or a read section
 */
typedef int (*nigh_loader_fn)(void *arg, struct nigh_fill *const fills[], size_t n);

/* One write on its way to the origin. Valid during the call of the writer only. */
struct nigh_write_op {
    size_t size;
    const void *key;
    size_t key_len;
    const void *value; /* NULL: delete */
    size_t value_len;
    uint64_t version;
};

/**
 * Commit one write to the origin.
 *
 * Returns   0 committed; anything else: not committed, nigh_write() returns NIGH_EWRITER
 * Threads   the calling thread
 */
typedef int (*nigh_writer_fn)(void *arg, const struct nigh_write_op *op);

/* What the fill asks for. Pointers are valid until the fill is answered. */
const void *nigh_fill_key(const struct nigh_fill *fill, size_t *ret_len);
uint32_t nigh_fill_time_left_ms(const struct nigh_fill *fill); /* until the flight's deadline */
/* The value that is about to be replaced, if one is known: NULL, or its bytes and version. */
const void *nigh_fill_previous(const struct nigh_fill *fill, size_t *ret_len,
                               uint64_t *ret_version);

/* Before the answer: what it carries. Errors: NIGH_EINVAL answered already; NIGH_ETAGS. */
int nigh_fill_set_ttl(struct nigh_fill *fill, uint32_t soft_ttl_ms, uint32_t stale_ms);
int nigh_fill_set_version(struct nigh_fill *fill, uint64_t version);
int nigh_fill_add_tag(struct nigh_fill *fill, const char *tag);

/**
 * Answer with a value; the bytes are copied.
 *
 * Returns   0
 * Errors    NIGH_EINVAL answered already; NIGH_EVALUE; NIGH_ENOMEM (the fill then fails)
 * Threads   the one that runs the loader
 */
int nigh_fill_value(struct nigh_fill *fill, const void *value, size_t len);
/* The key does not exist at the origin: remembered for absent_ttl. */
int nigh_fill_absent(struct nigh_fill *fill);
/* The load failed; `error` (any int) comes back through nigh_load_error(). */
int nigh_fill_error(struct nigh_fill *fill, int error);
/* The previous value still stands: its lifetime starts anew. NIGH_EINVAL if there was none. */
int nigh_fill_not_modified(struct nigh_fill *fill);
/* A value for the callers of now only: handed out, stored nowhere. */
int nigh_fill_uncacheable(struct nigh_fill *fill, const void *value, size_t len);

/**
 * The error the loader gave for the last NIGH_ELOADER of this thread.
 */
int nigh_load_error(void);

#pragma GCC visibility pop
#ifdef __cplusplus
}
#endif

#endif
