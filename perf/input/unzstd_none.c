// SPDX-License-Identifier: MIT
/*
 * In the place of libzstd, where that is missing.
 */
#include "input/unzstd.h"

struct unzstd *unzstd_create(void)
{
    return NULL;
}

void unzstd_destroy(struct unzstd *u)
{
    (void)u;
}

const char *unzstd_step(struct unzstd *u, const void *in, size_t *in_len, void *out,
                        size_t *out_len)
{
    (void)u, (void)in, (void)out;
    *in_len = *out_len = 0;
    return "no libzstd";
}

bool unzstd_is_whole(const struct unzstd *u)
{
    (void)u;
    return false;
}
