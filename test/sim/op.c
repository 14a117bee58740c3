// SPDX-License-Identifier: MIT
// Each call is a task of its own. What it is about is in the task's `user`, where the writer finds
// it. A change is told to the judge before it is made, under the number that its frame will bear:
// nothing runs between the two.

#include "sim/op.h"

#include <nigh/nigh.h>

#include "sim/node.h"

#define FINAL_TRIES 9 /* over 25 s: a loader's error is remembered for up to that */

struct op {
    struct step step;
    bool final;      /* it must answer what the origin has */
    bool settled;
    unsigned tries;
    char name[8]; /* of the key */
    size_t name_len;
    uint32_t issued; /* what the judge knows the change by; 0: none */
    uint32_t deadline_ms;
    uint64_t began_ns;
};

static unsigned running;
static bool bare_puts, some_behind;

void ops_init(bool puts_alone, bool behind)
{
    running = 0;
    bare_puts = puts_alone;
    some_behind = behind;
}

unsigned op_running(void)
{
    return running;
}

/* Half of the changes, where some are made in the background. */
static uint32_t flags_of(const struct op *o)
{
    return some_behind && o->step.ms % 2 ? NIGH_BACKGROUND : 0;
}

/* Returns how slow the thread is that has committed and is about to put: where changes are made in
 * the background an older version may come behind a newer one's. */
static uint32_t dawdles(const struct op *o)
{
    return some_behind ? 1 + o->step.ms % 40 : 1;
}

/* ---- reads ---- */

static void answered(struct op *o, int rc, struct nigh_value *value)
{
    struct reading r = {o->step.node, o->step.key, o->began_ns};
    const char *text = value->data ? value->data : "";
    if (world_tracing) {
        char what[80];
        step_print(&o->step, what, sizeof(what));
        TRACE(o->step.node, "%s -> %s %.*s", what, nigh_result_name(rc), (int)value->len, text);
    }
    judge_answer(&r, rc, text, value->len);
    o->settled = rc == NIGH_FRESH || rc == NIGH_ABSENT;
    if (o->final && (o->settled || o->tries == FINAL_TRIES - 1))
        judge_settled(&r, rc, text, value->len);
    nigh_release(value);
    if (o->final && !o->settled)
        task_sleep((100 * SIM_MS) << o->tries);
}

static void run_read(struct op *o)
{
    struct nigh_space *space = node_space_of(o->step.node, o->step.key);
    struct nigh_call call = NIGH_CALL_INIT;
    struct nigh_value value = NIGH_VALUE_INIT;
    int rc;
    if (o->step.kind == STEP_REFRESH)
        call.flags = NIGH_REFRESH;
    if (o->step.kind == STEP_GET_L1)
        call.flags = NIGH_L1_ONLY;
    if (o->step.kind == STEP_GET || o->step.kind == STEP_GET_L1)
        rc = nigh_get(space, o->name, o->name_len, &call, &value);
    else
        rc = nigh_fetch(space, o->name, o->name_len, &call, &value);
    answered(o, rc, &value);
}

static void run_get_put(struct op *o)
{
    struct nigh_space *space = node_space_of(o->step.node, o->step.key);
    struct nigh_miss miss = NIGH_MISS_INIT;
    struct nigh_call call = NIGH_CALL_INIT;
    struct nigh_value value = NIGH_VALUE_INIT;
    char text[64], tag[8];
    const char *tags[] = {tag};
    bool absent;
    call.miss = &miss;
    int rc = nigh_get(space, o->name, o->name_len, &call, &value);
    answered(o, rc, &value);
    if (rc != NIGH_MISS)
        return;
    task_sleep(SIM_MS);
    uint32_t version = origin_read(o->step.node, o->step.key, &absent, text, sizeof(text));
    task_sleep(o->step.ms * SIM_MS);
    if (o->step.b == 1) { /* as if that read had failed */
        nigh_miss_release(space, o->name, o->name_len, &miss);
        TRACE(o->step.node, "ticket of %s given back", o->name);
        return;
    }
    snprintf(tag, sizeof(tag), "t%d", key_tag(o->step.key));
    call.tags = tags;
    call.tag_count = 1;
    call.version = key_space(o->step.key) == 1 ? version : 0;
    call.flags = flags_of(o);
    rc = absent ? nigh_put_absent(space, o->name, o->name_len, &call)
                : nigh_put(space, o->name, o->name_len, text, strlen(text), &call);
    TRACE(o->step.node, "put %s with its ticket -> %s", text, rc ? nigh_result_name(rc) : "OK");
}

/* ---- changes ---- */

static void issue(struct op *o, enum target target, int which, uint32_t version)
{
    uint64_t call = node_next_call(o->step.node);
    bool put = o->step.kind == STEP_PUT && !flags_of(o); /* else it goes by a later script */
    o->issued = judge_issued(o->step.node, call, target, which, version, put);
}

static void changed(struct op *o, int rc)
{
    if (world_tracing) {
        char what[80];
        step_print(&o->step, what, sizeof(what));
        TRACE(o->step.node, "%s -> %s", what, rc ? nigh_result_name(rc) : "OK");
    }
    bool group = o->step.kind == STEP_TAG || o->step.kind == STEP_SPACE || o->step.kind == STEP_ALL;
    if ((rc == 0 || rc == NIGH_QUEUED) && o->issued)
        judge_applied(o->step.node, o->issued, !group || !o->step.b);
}

static void commit(int key, bool absent)
{
    uint32_t version = origin_commit(key, absent);
    TRACE(-1, "      origin has k%d:%u%s", key, version, absent ? " (absent)" : "");
}

static void run_invalidate(struct op *o)
{
    struct nigh_call call = NIGH_CALL_INIT;
    int key = o->step.key;
    call.deadline_ms = o->deadline_ms;
    call.flags = flags_of(o);
    commit(key, o->step.b == 1);
    task_sleep(100 * SIM_US);
    if (key_space(key) == 1 && o->step.b == 2)
        call.version = origin_version(key);
    issue(o, TARGET_KEY, key, (uint32_t)call.version);
    int rc = nigh_invalidate(node_space_of(o->step.node, key), o->name, o->name_len, &call);
    changed(o, rc);
}

static void run_group(struct op *o)
{
    struct nigh_call call = NIGH_CALL_INIT;
    char tag[8];
    int key = o->step.key;
    enum target target = o->step.kind == STEP_TAG     ? TARGET_TAG
                         : o->step.kind == STEP_SPACE ? TARGET_SPACE
                                                      : TARGET_ALL;
    int which = target == TARGET_TAG ? key_tag(key) : key_space(key);
    struct nigh_target t = {.kind = target == TARGET_TAG     ? NIGH_TARGET_TAG
                                    : target == TARGET_SPACE ? NIGH_TARGET_SPACE
                                                             : NIGH_TARGET_ALL};
    for (int k = 0; k < KEYS; k++)
        if (target == TARGET_ALL || (target == TARGET_TAG && key_tag(k) == which) ||
            (target == TARGET_SPACE && key_space(k) == which))
            commit(k, false);
    task_sleep(100 * SIM_US);
    snprintf(tag, sizeof(tag), "t%d", which);
    if (target == TARGET_TAG) {
        t.name = tag;
        t.name_len = strlen(tag);
    } else if (target == TARGET_SPACE) {
        t.space = node_space_of(o->step.node, key);
    }
    call.flags = flags_of(o) | (o->step.b ? NIGH_SOFT : 0);
    call.deadline_ms = o->deadline_ms;
    issue(o, target, which, 0);
    changed(o, nigh_invalidate_many(node_cache(o->step.node), &t, 1, &call));
}

int op_commit(int node, int key, uint64_t version, bool absent)
{
    struct op *o = task_current()->user;
    (void)node;
    if (version && version != (uint64_t)origin_version(key) + 1)
        return -1;
    commit(key, absent);
    issue(o, TARGET_KEY, key, (uint32_t)version);
    return 0;
}

/* The text of the version that this write will make, if it gets there first. */
static void run_write(struct op *o)
{
    struct nigh_call call = NIGH_CALL_INIT;
    char text[64], tag[8];
    const char *tags[] = {tag};
    int key = o->step.key;
    call.flags = flags_of(o);
    call.version = key_space(key) == 1 ? origin_version(key) + 1 : 0;
    snprintf(tag, sizeof(tag), "t%d", key_tag(key));
    call.tags = tags;
    call.tag_count = 1;
    origin_text(o->step.node, key, origin_version(key) + 1, false, text, sizeof(text));
    const void *value = o->step.b == 1 ? NULL : text;
    int rc = nigh_write(node_space_of(o->step.node, key), o->name, o->name_len, value,
                        value ? strlen(text) : 0, &call);
    changed(o, rc);
}

/*
 * A put is refused also where its version is in Redis because a loader has filled it: then nobody
 * is told, and who has an older one in L1 keeps it. So an application that puts what it has
 * committed must invalidate when it is refused; the scenario `puts` shows what happens otherwise.
 */
static void run_put(struct op *o)
{
    struct nigh_call call = NIGH_CALL_INIT;
    char text[64], tag[8];
    const char *tags[] = {tag};
    int key = o->step.key;
    commit(key, false);
    snprintf(tag, sizeof(tag), "t%d", key_tag(key));
    call.tags = tags;
    call.tag_count = 1;
    call.version = origin_version(key);
    call.flags = flags_of(o);
    origin_text(o->step.node, key, (uint32_t)call.version, true, text, sizeof(text));
    task_sleep(100 * SIM_US * dawdles(o));
    issue(o, TARGET_KEY, key, (uint32_t)call.version);
    struct nigh_space *space = node_space_of(o->step.node, key);
    int rc = nigh_put(space, o->name, o->name_len, text, strlen(text), &call);
    changed(o, rc);
    if (rc != NIGH_REFUSED || bare_puts)
        return;
    struct nigh_call only_version = NIGH_CALL_INIT;
    only_version.version = call.version;
    o->step.kind = STEP_INVALIDATE;
    issue(o, TARGET_KEY, key, (uint32_t)call.version);
    changed(o, nigh_invalidate(space, o->name, o->name_len, &only_version));
}

/* ---- tasks ---- */

static void run_one(struct op *o)
{
    o->began_ns = world_now();
    o->name_len = (size_t)snprintf(o->name, sizeof(o->name), "k%d", o->step.key);
    switch (o->step.kind) {
    case STEP_GET_PUT: run_get_put(o); break;
    case STEP_INVALIDATE: run_invalidate(o); break;
    case STEP_TAG:
    case STEP_SPACE:
    case STEP_ALL: run_group(o); break;
    case STEP_WRITE: run_write(o); break;
    case STEP_PUT: run_put(o); break;
    case STEP_SILENT: commit(o->step.key, false); break;
    default: run_read(o);
    }
}

static void run(void *arg)
{
    struct op *o = arg;
    task_current()->user = o;
    run_one(o);
    free(o);
    running--;
}

/* What is stale is refreshed behind its first reader: ask again. */
static void run_final(void *arg)
{
    struct op *o = arg;
    for (int key = 0; key < KEYS; key++) {
        o->step.key = key;
        for (o->tries = 0; o->tries < FINAL_TRIES && !o->settled; o->tries++)
            run_one(o);
        o->settled = false;
    }
    free(o);
    running--;
}

static void start(const struct step *step, uint32_t deadline_ms, bool final)
{
    struct op *o = calloc(1, sizeof(*o));
    if (!o)
        abort();
    o->step = *step;
    o->deadline_ms = deadline_ms;
    o->final = final;
    running++;
    task_start(step->node, "call", final ? run_final : run, o, SIM_US);
}

/* Calls of several threads at once: more than are sent alone. Some are in a hurry. */
static void start_together(const struct step *step)
{
    for (int i = 0; i < 4 + step->b; i++) {
        struct step s = *step;
        s.kind = i % 3 == 2 ? STEP_TAG : STEP_INVALIDATE;
        s.key = (step->key + i) % KEYS;
        s.b = 0;
        start(&s, i % 2 ? 1 + step->ms % 8 : 0, false);
    }
}

void op_start(const struct step *step)
{
    if (step->kind == STEP_TOGETHER)
        start_together(step);
    else
        start(step, 0, false);
}

void op_start_final(int nodes)
{
    for (int i = 0; i < nodes; i++)
        start(&(struct step){.kind = STEP_FETCH, .node = i}, 0, true);
}
