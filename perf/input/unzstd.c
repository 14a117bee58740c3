// SPDX-License-Identifier: MIT
/*
 * By libzstd.
 */
#include "input/unzstd.h"

#include <zstd.h>

#include "support/fail.h"

struct unzstd {
    ZSTD_DStream *stream;
    bool whole; /* the last frame has ended */
};

struct unzstd *unzstd_create(void)
{
    struct unzstd *u = must_alloc(1, sizeof(*u));
    u->stream = ZSTD_createDStream();
    if (!u->stream)
        fail("out of memory");
    return u;
}

void unzstd_destroy(struct unzstd *u)
{
    if (u)
        ZSTD_freeDStream(u->stream);
    free(u);
}

const char *unzstd_step(struct unzstd *u, const void *in, size_t *in_len, void *out,
                        size_t *out_len)
{
    ZSTD_inBuffer from = {in, *in_len, 0};
    ZSTD_outBuffer to = {out, *out_len, 0};
    size_t rc = ZSTD_decompressStream(u->stream, &to, &from);
    *in_len = from.pos;
    *out_len = to.pos;
    if (ZSTD_isError(rc))
        return ZSTD_getErrorName(rc);
    if (from.pos || to.pos)
        u->whole = rc == 0;
    return NULL;
}

bool unzstd_is_whole(const struct unzstd *u)
{
    return u->whole;
}
