// SPDX-License-Identifier: MIT
// The list of schemas: kept, and read. Registering our own.
//
// Why a registration needs no message of its own: the script that stores the first value makes it,
// so there is no moment at which a value is stored whose schema a change would not name. It is
// renewed in the same way by the first value that would outlive it.
//
// Why the token goes with every value: a registration is no change, so it has no place in the chain
// of them. Should an older copy of the data be loaded in place, the list without us in it has
// another token, and the script registers us again. (A list that has us for a shorter time may have
// the same one: README.md, Known limits.)

#include <nigh/options.h>

#include "coherence/schemas.h"
#include "coherence/state.h"
#include "coherence/trust.h"

/* Slack, for a value lives on Redis' clock, which this node knows only so well, and a request may
 * reach Redis late. */
#define COVER_SLACK_MS 10000u
/* Registered beyond what the value needs, so that not every fill renews it. */
#define COVER_MORE_MS 60000u

void schemas_init(struct schemas *s)
{
    *s = (struct schemas){.list = NULL};
    pthread_mutex_init(&s->lock, NULL);
}

void schemas_fini(struct schemas *s, struct mem *mem)
{
    schemas_drop(s->list, mem);
    pthread_mutex_destroy(&s->lock);
}

struct schema_list *schemas_take(struct schemas *s)
{
    pthread_mutex_lock(&s->lock);
    struct schema_list *list = s->list;
    if (list)
        atomic_fetch_add_explicit(&list->refs, 1, memory_order_relaxed);
    pthread_mutex_unlock(&s->lock);
    return list;
}

void schemas_drop(struct schema_list *list, struct mem *mem)
{
    /* pair(schemas.refs): the last one frees what the others have read: pair(schemas.refs) */
    if (list && atomic_fetch_sub_explicit(&list->refs, 1, memory_order_acq_rel) == 1)
        mem_free(mem, NULL, list, sizeof(*list) + list->len);
}

void schemas_learn(struct schemas *s, struct mem *mem, const struct l2_clock *clock,
                   struct bytes text)
{
    struct schema_list *list = mem_alloc(mem, NULL, sizeof(*list) + text.len);
    if (list) {
        *list = (struct schema_list){
            .token = clock->schemas, .old_nodes = clock->old_nodes, .len = text.len};
        atomic_store_explicit(&list->refs, 1, memory_order_relaxed);
        if (text.len > 0)
            memcpy(list->text, text.data, text.len);
    }
    pthread_mutex_lock(&s->lock);
    struct schema_list *before = s->list;
    s->list = list;
    pthread_mutex_unlock(&s->lock);
    schemas_drop(before, mem);
}

uint32_t schemas_of(struct bytes text, struct bytes space, struct bytes own,
                    struct bytes ret[SCHEMAS_MAX])
{
    struct byte_reader r = byte_reader_of(text);
    uint32_t count = 0;
    while (r.left > 0 && !r.bad && count < SCHEMAS_MAX) {
        uint32_t space_len = byte_reader_u32(&r);
        uint32_t schema_len = byte_reader_u32(&r);
        byte_reader_u64(&r); /* until when: Redis drops it in its time */
        struct bytes its_space = bytes_of(byte_reader_take(&r, space_len), space_len);
        struct bytes schema = bytes_of(byte_reader_take(&r, schema_len), schema_len);
        if (r.bad || space_len > NIGH_NAME_MAX || schema_len > NIGH_NAME_MAX)
            break;
        if (bytes_equal(its_space, space) && !bytes_equal(schema, own))
            ret[count++] = schema;
    }
    return count;
}

void coherence_schemas_tell(struct coherence *c, struct bytes space,
                            void (*tell)(void *arg, struct bytes schema), void *arg)
{
    struct bytes found[SCHEMAS_MAX];
    struct schema_list *list = schemas_take(c->schemas);
    uint32_t count = list ? schemas_of(bytes_of(list->text, list->len), space, bytes_of("", 0),
                                       found) : 0;
    for (uint32_t i = 0; i < count; i++)
        tell(arg, found[i]);
    schemas_drop(list, c->config.env->mem);
}

/* ---- our own ---- */

bool coherence_told_schemas(struct coherence *c, const struct l2_answer *answer)
{
    if (answer->status != 0 || answer->verdict != L2_MOVED)
        return false;
    schemas_learn(c->schemas, c->config.env->mem, &answer->clock, answer->value);
    return true;
}

struct l2_register coherence_register(struct coherence *c, const struct coherence_schema *s,
                                      uint32_t hard_ms)
{
    uint64_t now_ms = coherence_server_time_ms(c);
    uint64_t identity = coherence_position(c).identity;
    pthread_mutex_lock(&c->schemas->lock);
    bool covered = identity != 0 && identity == s->identity && now_ms != 0 &&
                   now_ms + hard_ms + COVER_SLACK_MS <= s->until_ms;
    uint64_t token = covered ? s->token : 0;
    pthread_mutex_unlock(&c->schemas->lock);
    uint64_t ms = (uint64_t)hard_ms + hard_ms / 4 + COVER_MORE_MS;
    return (struct l2_register){(uint32_t)u64_min(ms, UINT32_MAX), token,
                                random_id(c->config.env->random)};
}

static void note_crowded(struct coherence *c, struct coherence_schema *s)
{
    pthread_mutex_lock(&c->schemas->lock);
    s->crowded = true;
    pthread_mutex_unlock(&c->schemas->lock);
}

bool coherence_is_crowded(struct coherence *c, const struct coherence_schema *s)
{
    pthread_mutex_lock(&c->schemas->lock);
    bool crowded = s->crowded;
    pthread_mutex_unlock(&c->schemas->lock);
    return crowded;
}

bool coherence_registered(struct coherence *c, struct coherence_schema *s,
                          const struct l2_answer *answer)
{
    if (answer->status == 0 && answer->verdict == L2_CROWDED) {
        note_crowded(c, s);
        LOG(c->config.env->log, NIGH_LOG_ERROR,
            "%u schemas of one space are in use in redis: values of another one are not stored "
            "there until the lifetimes of one are over", SCHEMAS_MAX);
        return true;
    }
    if (answer->status != 0 || answer->registered_ms == 0)
        return false;
    pthread_mutex_lock(&c->schemas->lock);
    s->identity = answer->clock.identity;
    s->token = answer->clock.schemas;
    s->until_ms = answer->clock.server_time_ms + answer->registered_ms;
    s->crowded = false;
    pthread_mutex_unlock(&c->schemas->lock);
    return false;
}
