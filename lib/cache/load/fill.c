// SPDX-License-Identifier: MIT
/*
 * The loader's side of a load.
 *
 * The fill only collects the answer: nothing leaves it before the loader has returned, so that a
 * loader which exits its thread half way has changed nothing.
 *
 * A deferred fill is reached by its name, under the name's lock. Loader and answer may come in any
 * order, and whoever comes second takes the answer on: the loader's thread as if nothing had been
 * deferred, the other one by `answered`.
 */
#include "cache/load/fill.h"

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

/* ---- the loader's return ---- */

static struct nigh_fill *name_of(const struct nigh_fill *fill)
{
    return atomic_load_explicit(&fill->name, memory_order_relaxed);
}

void fill_disown(struct nigh_fill *fill, int why)
{
    struct nigh_fill *same, *name = name_of(fill);
    if (name && defer_lock(name, &same) == 0)
        defer_end(name, why);
}

void fill_reset(struct nigh_fill *fill)
{
    if (NIGH_UNLIKELY(fill_is_deferred(fill))) {
        fill_disown(fill, NIGH_EINVAL);
        atomic_store_explicit(&fill->name, NULL, memory_order_relaxed);
    }
    if (fill->bytes != fill->small)
        mem_free(fill->cache->env.mem, NULL, fill->bytes, fill->len);
    tags_fini(&fill->tags, fill->cache->env.mem);
    fill->kind = FILL_OPEN;
    fill->error = 0;
    fill->bytes = NULL;
    fill->len = 0;
    fill->soft_ttl_ms = 0;
    fill->stale_ms = 0;
    fill->version = 0;
}

static int answer_error(struct nigh_fill *fill, int error)
{
    fill->kind = FILL_ERROR;
    fill->error = error;
    return 0;
}

bool fill_returned(struct nigh_fill *fill, int result)
{
    struct nigh_fill *same, *name = name_of(fill);
    bool locked = defer_lock(name, &same) == 0;
    bool open = fill->kind == FILL_OPEN;
    if (locked && open && result == 0) {
        defer_wait(name);
        defer_unlock(name);
        return false;
    }
    if (locked)
        defer_end(name, NIGH_EINVAL);
    if (open)
        answer_error(fill, result);
    return true;
}

bool fill_waits(const struct nigh_fill *fill)
{
    struct nigh_fill *same, *name = name_of(fill);
    if (!name || defer_lock(name, &same) != 0)
        return false;
    bool waits = defer_waits(name);
    defer_unlock(name);
    return waits;
}

/* ---- calls of the host ---- */

/* A call of the host's, by the fill's address or by its name. By its address it costs nothing more:
 * every load makes some. */
struct use {
    const struct nigh_fill *name; /* NULL: by its address */
    struct nigh_fill *fill;
    struct caller caller;         /* the caller, if the call is by name */
};

static NIGH_OUTLINED int begin_named(struct use *u)
{
    caller_enter(&u->caller);
    int rc = defer_lock(u->name, &u->fill);
    if (rc != 0)
        caller_leave(&u->caller);
    return rc;
}

static NIGH_OUTLINED void end_named(struct use *u)
{
    defer_unlock(u->name);
    caller_leave(&u->caller);
}

static NIGH_OUTLINED void end_named_answered(struct use *u)
{
    if (!defer_waits(u->name)) { /* the loader's thread takes it on when it returns */
        end_named(u);
        return;
    }
    defer_end(u->name, NIGH_EINVAL);
    u->fill->answered(u->fill);
    caller_leave(&u->caller);
}

/* Begin to look at a fill. */
static inline int begin_look(struct use *u, const struct nigh_fill *given)
{
    u->name = defer_is_name(given) ? given : NULL;
    u->fill = (struct nigh_fill *)(uintptr_t)given;
    if (NIGH_UNLIKELY(u->name))
        return begin_named(u);
    return NIGH_LIKELY(given) ? 0 : NIGH_EINVAL;
}

static inline int end(struct use *u, int rc)
{
    if (NIGH_UNLIKELY(u->name))
        end_named(u);
    return rc;
}

/* Begin to say something about a fill that has no answer. Once it is deferred its name alone will
 * do. */
static inline int begin(struct use *u, const struct nigh_fill *given)
{
    int rc = begin_look(u, given);
    if (rc == 0 && ((!u->name && name_of(u->fill)) || u->fill->kind != FILL_OPEN))
        rc = end(u, NIGH_EINVAL);
    return rc;
}

/* End a call that has answered the fill, unless it has failed. */
static inline int end_answered(struct use *u, int rc)
{
    if (NIGH_UNLIKELY(u->name) && rc == 0)
        end_named_answered(u);
    else if (NIGH_UNLIKELY(u->name))
        end_named(u);
    return rc;
}

int nigh_fill_defer(struct nigh_fill *fill, struct nigh_fill **ret_fill)
{
    if (!fill || !ret_fill || defer_is_name(fill) || name_of(fill) || fill->kind != FILL_OPEN)
        return NIGH_EINVAL;
    if (cache_is_gone(fill->cache))
        return cache_why_gone(fill->cache);
    struct nigh_fill *name = defer_name(fill, fill->cache);
    if (!name)
        return NIGH_ENOMEM;
    atomic_store_explicit(&fill->name, name, memory_order_relaxed);
    *ret_fill = name;
    return 0;
}

const void *nigh_fill_key(const struct nigh_fill *fill, size_t *ret_len)
{
    struct use u;
    if (begin_look(&u, fill) != 0)
        return NULL;
    const void *key = u.fill->key;
    *ret_len = u.fill->key_len;
    end(&u, 0);
    return key;
}

uint32_t nigh_fill_time_left_ms(const struct nigh_fill *fill)
{
    struct use u;
    if (begin_look(&u, fill) != 0)
        return 0;
    uint64_t now_ns = clock_now_ns(&u.fill->cache->clock), deadline_ns = u.fill->deadline_ns;
    end(&u, 0);
    return now_ns < deadline_ns
               ? (uint32_t)u64_min((deadline_ns - now_ns) / NS_PER_MS, UINT32_MAX)
               : 0;
}

const void *nigh_fill_previous(const struct nigh_fill *fill, size_t *ret_len, uint64_t *ret_version)
{
    struct use u;
    struct bytes value = {0};
    if (begin_look(&u, fill) != 0)
        return NULL;
    if (u.fill->previous) {
        value = l1_entry_value(u.fill->previous);
        *ret_len = value.len;
        *ret_version = l1_entry_version(u.fill->previous);
    }
    end(&u, 0);
    return value.data;
}

int nigh_fill_set_ttl(struct nigh_fill *fill, uint32_t soft_ttl_ms, uint32_t stale_ms)
{
    struct use u;
    int rc = begin(&u, fill);
    if (rc != 0)
        return rc;
    u.fill->soft_ttl_ms = soft_ttl_ms;
    u.fill->stale_ms = stale_ms;
    return end(&u, 0);
}

int nigh_fill_set_version(struct nigh_fill *fill, uint64_t version)
{
    struct use u;
    int rc = begin(&u, fill);
    if (rc != 0)
        return rc;
    u.fill->version = version;
    return end(&u, 0);
}

int nigh_fill_add_tag(struct nigh_fill *fill, const char *tag)
{
    struct use u;
    int rc = begin(&u, fill);
    return rc ? rc : end(&u, tags_add(&u.fill->tags, u.fill->cache->env.mem, tag));
}

/* ---- the answer ---- */

static int copy(struct nigh_fill *fill, enum fill_kind kind, const void *value, size_t len)
{
    if (len > 0) {
        fill->bytes = len <= sizeof(fill->small) ? fill->small
                                                 : mem_alloc(fill->cache->env.mem, NULL, len);
        if (!fill->bytes)
            return NIGH_ENOMEM;
        memcpy(fill->bytes, value, len);
    }
    fill->len = len;
    fill->kind = kind;
    return 0;
}

static int answer_bytes(struct nigh_fill *fill, enum fill_kind kind, const void *value, size_t len)
{
    struct use u;
    int rc = begin(&u, fill);
    if (rc != 0)
        return rc;
    if (!value && len)
        rc = NIGH_EINVAL;
    else if (len > NIGH_VALUE_MAX)
        rc = NIGH_EVALUE;
    else
        rc = copy(u.fill, kind, value, len);
    return end_answered(&u, rc);
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
    struct use u;
    int rc = begin(&u, fill);
    return rc ? rc : end_answered(&u, answer_error(u.fill, error));
}

int nigh_fill_not_modified(struct nigh_fill *fill)
{
    struct use u;
    int rc = begin(&u, fill);
    if (rc != 0)
        return rc;
    if (u.fill->previous)
        u.fill->kind = FILL_NOT_MODIFIED;
    else
        rc = NIGH_EINVAL;
    return end_answered(&u, rc);
}

struct bytes fill_payload(const struct nigh_fill *fill)
{
    if (fill->kind == FILL_NOT_MODIFIED)
        return l1_entry_value(fill->previous);
    return bytes_of(fill->bytes, fill->len);
}
