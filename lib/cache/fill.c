// SPDX-License-Identifier: MIT
/*
 * The loader's side of a load.
 *
 * The fill only collects the answer: nothing leaves it before the loader has returned, so that a
 * loader which exits its thread half way has changed nothing.
 */
#include "cache/fill.h"

#include <string.h>

static _Thread_local int last_load_error;

int nigh_load_error(void)
{
    return last_load_error;
}

void cache_set_load_error(int error)
{
    last_load_error = error;
}

void fill_reset(struct nigh_fill *fill)
{
    if (fill->bytes != fill->small)
        mem_free(fill->env->mem, NULL, fill->bytes, fill->len);
    tags_fini(&fill->tags, fill->env->mem);
    fill->kind = FILL_OPEN;
    fill->error = 0;
    fill->bytes = NULL;
    fill->len = 0;
    fill->soft_ttl_ms = 0;
    fill->stale_ms = 0;
    fill->version = 0;
}

const void *nigh_fill_key(const struct nigh_fill *fill, size_t *ret_len)
{
    *ret_len = fill->key_len;
    return fill->key;
}

uint32_t nigh_fill_time_left_ms(const struct nigh_fill *fill)
{
    uint64_t now_ns = clock_now_ns(fill->env->clock);
    if (now_ns >= fill->deadline_ns)
        return 0;
    return (uint32_t)u64_min((fill->deadline_ns - now_ns) / NS_PER_MS, UINT32_MAX);
}

const void *nigh_fill_previous(const struct nigh_fill *fill, size_t *ret_len, uint64_t *ret_version)
{
    if (!fill->previous)
        return NULL;
    struct bytes value = l1_entry_value(fill->previous);
    *ret_len = value.len;
    *ret_version = l1_entry_version(fill->previous);
    return value.data;
}

int nigh_fill_set_ttl(struct nigh_fill *fill, uint32_t soft_ttl_ms, uint32_t stale_ms)
{
    if (fill->kind != FILL_OPEN)
        return NIGH_EINVAL;
    fill->soft_ttl_ms = soft_ttl_ms;
    fill->stale_ms = stale_ms;
    return 0;
}

int nigh_fill_set_version(struct nigh_fill *fill, uint64_t version)
{
    if (fill->kind != FILL_OPEN)
        return NIGH_EINVAL;
    fill->version = version;
    return 0;
}

int nigh_fill_add_tag(struct nigh_fill *fill, const char *tag)
{
    if (fill->kind != FILL_OPEN)
        return NIGH_EINVAL;
    return tags_add(&fill->tags, fill->env->mem, tag);
}

static int answer_bytes(struct nigh_fill *fill, enum fill_kind kind, const void *value, size_t len)
{
    if (fill->kind != FILL_OPEN || (!value && len))
        return NIGH_EINVAL;
    if (len > NIGH_VALUE_MAX)
        return NIGH_EVALUE;
    if (len > 0) {
        fill->bytes = len <= sizeof(fill->small) ? fill->small
                                                 : mem_alloc(fill->env->mem, NULL, len);
        if (!fill->bytes)
            return NIGH_ENOMEM;
        memcpy(fill->bytes, value, len);
    }
    fill->len = len;
    fill->kind = kind;
    return 0;
}

int nigh_fill_value(struct nigh_fill *fill, const void *value, size_t len)
{
    return answer_bytes(fill, FILL_VALUE, value, len);
}

int nigh_fill_uncacheable(struct nigh_fill *fill, const void *value, size_t len)
{
    return answer_bytes(fill, FILL_UNCACHEABLE, value, len);
}

int nigh_fill_absent(struct nigh_fill *fill)
{
    return answer_bytes(fill, FILL_ABSENT, NULL, 0);
}

int nigh_fill_error(struct nigh_fill *fill, int error)
{
    if (fill->kind != FILL_OPEN)
        return NIGH_EINVAL;
    fill->kind = FILL_ERROR;
    fill->error = error;
    return 0;
}

int nigh_fill_not_modified(struct nigh_fill *fill)
{
    if (fill->kind != FILL_OPEN || !fill->previous)
        return NIGH_EINVAL;
    fill->kind = FILL_NOT_MODIFIED;
    return 0;
}

struct bytes fill_payload(const struct nigh_fill *fill)
{
    if (fill->kind == FILL_NOT_MODIFIED)
        return l1_entry_value(fill->previous);
    return bytes_of(fill->bytes, fill->len);
}
