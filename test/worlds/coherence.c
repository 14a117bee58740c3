// SPDX-License-Identifier: MIT
// Redis in a few arrays, a link whose requests wait, and a sink that takes notes.

#include "worlds/coherence.h"

/* ---- the sink ---- */

void world_note(world *w, const char *format, ...)
{
    size_t len = strlen(w->notes);
    va_list args;
    va_start(args, format);
    if (len > 0 && len + 1 < sizeof(w->notes))
        w->notes[len++] = ' ';
    vsnprintf(w->notes + len, sizeof(w->notes) - len, format, args);
    va_end(args);
}

const char *world_notes(world *w)
{
    static char taken[sizeof(w->notes)];
    memcpy(taken, w->notes, sizeof(taken));
    w->notes[0] = '\0';
    return taken;
}

static uint64_t world_sink_group(void *arg, uint16_t slot, bool soft)
{
    world *w = arg;
    if (slot == GROUP_SLOT_ALL)
        world_note(w, "all%c", soft ? '~' : '!');
    else
        world_note(w, "#%u%c", slot, soft ? '~' : '!');
    if (w->on_group)
        w->on_group(w, slot, soft);
    return ++w->floors;
}

static void world_sink_renew(void *arg, uint64_t left_at)
{
    ((world *)arg)->left_at = left_at;
}

static uint64_t world_sink_key(void *arg, const struct coherence_item *item)
{
    world *w = arg;
    world_note(w, "key %.*s/%.*s", (int)item->space.len, (const char *)item->space.data,
               (int)item->bytes.len, (const char *)item->bytes.data);
    if (w->on_key)
        w->on_key(w, item);
    return ++w->floors;
}

/* Keys of this world share one floor. */
static uint64_t world_sink_floor(void *arg, const struct coherence_item *item)
{
    (void)item;
    return ((world *)arg)->floors;
}

static void world_sink_fill(void *arg, const struct coherence_item *item)
{
    world_note(arg, "fill %.*s", (int)item->bytes.len, (const char *)item->bytes.data);
}

static void world_sink_wake(void *arg)
{
    world_note(arg, "wake");
}

static void world_sink_lost(void *arg)
{
    world_note(arg, "lost");
}

static struct bytes world_sink_schema(void *arg, struct bytes space)
{
    (void)arg, (void)space;
    return bytes_of_string("v1");
}

/* ---- frames ---- */

static void world_line_add(struct world_line *line, uint64_t seq, const uint8_t *bytes, size_t len)
{
    REQUIRE(line->count < WORLD_FRAMES_MAX);
    uint8_t *copy = malloc(len);
    memcpy(copy, bytes, len);
    line->frames[line->count++] = (struct world_frame){seq, len, copy};
}

void world_line_clear(struct world_line *line)
{
    for (unsigned i = 0; i < line->count; i++)
        free(line->frames[i].bytes);
    line->count = 0;
}

static struct world_frame world_line_take(struct world_line *line)
{
    REQUIRE(line->count > 0);
    struct world_frame first = line->frames[0];
    line->count--;
    memmove(line->frames, line->frames + 1, line->count * sizeof(first));
    return first;
}

uint8_t *world_frame_make(world *w, uint64_t seq, uint64_t previous, const void *tail,
                          size_t tail_len, size_t *ret_len)
{
    uint8_t *frame = malloc(76 + tail_len);
    memcpy(frame, coherence_message_head().data, 4);
    memcpy(frame + 4, w->replid, 40);
    put_le64(frame + 44, w->id);
    put_le64(frame + 52, seq);
    put_le64(frame + 60, previous);
    put_le64(frame + 68, w->nonce);
    memcpy(frame + 76, tail, tail_len);
    *ret_len = 76 + tail_len;
    return frame;
}

void world_clock_ensure(world *w, uint64_t nonce)
{
    if (w->id != 0)
        return;
    w->id = w->nonce = w->schemas = nonce;
    w->schemas_len = 0;
    w->seq = 0;
    memset(w->slots, 0, sizeof(w->slots));
    world_line_clear(&w->log);
}

void world_accept(world *w, uint64_t nonce, const struct l2_change_group *groups, uint32_t count,
                  const void *tail, size_t tail_len)
{
    size_t len;
    uint64_t previous = w->nonce;
    w->seq++;
    w->nonce = nonce;
    for (uint32_t i = 0; i < count; i++)
        w->slots[groups[i].slot][groups[i].soft] = w->seq;
    uint8_t *frame = world_frame_make(w, w->seq, previous, tail, tail_len, &len);
    world_line_add(&w->log, w->seq, frame, len);
    world_line_add(&w->said, w->seq, frame, len);
    if (w->beside)
        world_line_add(&w->beside->said, w->seq, frame, len);
    free(frame);
}

void world_other(world *w, struct coherence_item item)
{
    uint8_t tail[2048];
    struct l2_change_group group = {0};
    uint32_t groups = item.kind == WIRE_KEY ? 0 : 1;
    if (groups)
        group = (struct l2_change_group){coherence_item_slot(&item, WORLD_SLOTS), item.soft};
    coherence_tail_encode(tail, WORLD_OTHER, w->seq + 1, &item, 1);
    world_clock_ensure(w, 77);
    world_accept(w, 0xd1ce0000 + ++w->nonces, &group, groups, tail,
                 coherence_tail_size(&item, 1));
}

struct coherence_item world_key(const char *key)
{
    return (struct coherence_item){
        .kind = WIRE_KEY, .space = bytes_of_string("s"), .bytes = bytes_of_string(key)};
}

struct coherence_item world_tag(const char *tag, bool soft)
{
    return (struct coherence_item){.kind = WIRE_TAG, .soft = soft, .bytes = bytes_of_string(tag)};
}

const char *world_tag_note(const char *tag, bool soft)
{
    static char note[2][16];
    static unsigned turn;
    struct coherence_item item = world_tag(tag, soft);
    char *text = note[turn++ % 2];
    snprintf(text, 16, "#%u%c", coherence_item_slot(&item, WORLD_SLOTS), soft ? '~' : '!');
    return text;
}

void world_hear_one(world *w)
{
    struct world_frame frame = world_line_take(&w->said);
    w->channel->config.message(w->channel->config.arg, bytes_of(frame.bytes, frame.len));
    free(frame.bytes);
}

void world_hear(world *w)
{
    while (w->said.count > 0)
        world_hear_one(w);
}

void world_lose_one(world *w)
{
    free(world_line_take(&w->said).bytes);
}

/* ---- copies: a history that is loaded in place later ---- */

static void world_log_copy(struct world_line *to, const struct world_line *from)
{
    world_line_clear(to);
    for (unsigned i = 0; i < from->count; i++)
        world_line_add(to, from->frames[i].seq, from->frames[i].bytes, from->frames[i].len);
}

struct world_copy world_save(const world *w)
{
    struct world_copy copy = {.id = w->id, .seq = w->seq, .nonce = w->nonce};
    world_log_copy(&copy.log, &w->log);
    return copy;
}

void world_load(world *w, struct world_copy *copy)
{
    w->id = copy->id;
    w->seq = copy->seq;
    w->nonce = copy->nonce;
    world_log_copy(&w->log, &copy->log);
    world_line_clear(&copy->log);
}

/* ---- requests ---- */

static int world_submit(world *w, struct world_request request, const struct l2_op *op)
{
    if (!w->connected) {
        free(request.tail.bytes);
        return NIGH_EOFFLINE;
    }
    struct world_request *r = malloc(sizeof(*r));
    *r = request;
    r->op = *op;
    struct world_request **end = &w->requests;
    while (*end)
        end = &(*end)->next;
    *end = r;
    return 0;
}

struct world_request *world_take(world *w, enum world_kind kind)
{
    for (struct world_request **at = &w->requests; *at; at = &(*at)->next)
        if ((*at)->kind == kind) {
            struct world_request *r = *at;
            *at = r->next;
            r->next = NULL;
            return r;
        }
    return NULL;
}

struct l2_clock world_clock(const world *w)
{
    uint8_t both[48];
    memcpy(both, w->replid, 40);
    put_le64(both + 40, w->id);
    return (struct l2_clock){
        .replid = bytes_of(w->replid, 40),
        .home = hash_bytes(bytes_of(w->replid, 40)),
        .identity = hash_bytes(bytes_of(both, sizeof(both))),
        .id = w->id,
        .sequence = w->seq,
        .nonce = w->nonce,
        .schemas = w->schemas,
        .old_nodes = w->old_nodes,
        .old_moved = w->old_moved,
        .server_time_ms = w->time_ms,
    };
}

static void world_answer_text(const world *w, struct l2_answer *a)
{
    char *text = malloc(sizeof(w->schemas_text));
    memcpy(text, w->schemas_text, sizeof(w->schemas_text));
    a->value = bytes_of(text, w->schemas_len);
}

/* Every page in which a position was ever raised. (Which of them a real server leaves out is seen
 * in 22l2_script_clock.) */
static void world_answer_clk(const world *w, struct l2_answer *a)
{
    enum { PAGE_SLOTS = WORLD_SLOTS / L2_PAGES };
    world_answer_text(w, a);
    a->slots = w->slots_shown ? w->slots_shown : WORLD_SLOTS;
    a->entries = calloc(L2_PAGES, sizeof(*a->entries));
    a->entry_seqs = calloc(L2_PAGES, sizeof(*a->entry_seqs));
    for (uint32_t page = 0; page < L2_PAGES; page++) {
        uint8_t *bytes = calloc(PAGE_SLOTS, 16);
        uint64_t highest = 0;
        for (uint32_t i = 0; i < PAGE_SLOTS; i++) {
            const uint64_t *slot = w->slots[page * PAGE_SLOTS + i];
            put_le64(bytes + 16 * i, slot[0]);
            put_le64(bytes + 16 * i + 8, slot[1]);
            highest = u64_max(highest, u64_max(slot[0], slot[1]));
        }
        if (highest == 0) {
            free(bytes);
            continue;
        }
        a->entry_seqs[a->entry_count] = page;
        a->entries[a->entry_count++] = bytes_of(bytes, 16 * (size_t)PAGE_SLOTS);
    }
}

static void world_answer_log(const world *w, const struct world_request *r, struct l2_answer *a)
{
    a->entries = calloc(WORLD_FRAMES_MAX, sizeof(*a->entries));
    a->entry_seqs = calloc(WORLD_FRAMES_MAX, sizeof(*a->entry_seqs));
    for (unsigned i = 0; i < w->log.count && a->entry_count < w->entries_max; i++) {
        const struct world_frame *frame = &w->log.frames[i];
        if (frame->seq <= r->after_seq)
            continue;
        uint8_t *copy = malloc(frame->len);
        memcpy(copy, frame->bytes, frame->len);
        a->entry_seqs[a->entry_count] = frame->seq;
        a->entries[a->entry_count++] = bytes_of(copy, frame->len);
    }
}

/* A change: its verdict. */
static enum l2_verdict world_execute_change(world *w, struct world_request *r, struct l2_answer *a)
{
    if (w->seq + w->schemas_len > 0 && r->schemas != w->schemas) {
        world_answer_text(w, a);
        return L2_MOVED;
    }
    a->previous = w->nonce;
    world_accept(w, r->nonce, r->groups, r->group_count, r->tail.bytes, r->tail.len);
    if (r->mode == L2_DELETE)
        return L2_NONE;
    if (w->refuse_newer && (r->mode == L2_SET_NEWER || r->mode == L2_REPLACE))
        return L2_REFUSED;
    bool asked = r->register_ms > 0 && r->register_token != w->schemas;
    a->registered_ms = asked && !w->crowded ? r->register_ms : 0;
    return asked && w->crowded ? L2_CROWDED : L2_STORED;
}

void world_execute(world *node, struct world_request *r)
{
    world *w = node->server;
    struct l2_answer *a = calloc(1, sizeof(*a));
    world_clock_ensure(w, r->nonce);
    if (r->kind == WORLD_CHANGE)
        a->verdict = world_execute_change(w, r, a);
    if (r->kind == WORLD_RESYNC && r->renew == w->id &&
        memcmp(r->renew_replid, w->replid, sizeof(w->replid)) == 0) {
        w->id = w->nonce = r->nonce;
        w->renewed++;
        world_line_clear(&w->log);
    }
    if (r->kind == WORLD_RESYNC)
        world_answer_clk(w, a);
    if (r->kind == WORLD_BEAT)
        world_answer_log(w, r, a);
    a->clock = world_clock(w);
    a->home = a->clock.home;
    a->connection = 1;
    a->order = ++w->order;
    r->answer = a;
}

void world_deliver(struct world_request *r, int status)
{
    struct l2_answer *a = r->answer;
    if (status != 0) {
        l2_answer_free(a);
        a = calloc(1, sizeof(*a));
        a->status = status;
    }
    REQUIRE(a);
    if (r->op.sync)
        r->op.sync->answer = a;
    else
        r->op.done(r->op.arg, a);
    free(r->tail.bytes);
    free(r);
}

bool world_serve_one(world *w, enum world_kind kind)
{
    struct world_request *r = world_take(w, kind);
    if (!r)
        return false;
    world_execute(w, r);
    world_deliver(r, 0);
    return true;
}

void world_settle(world *w)
{
    do
        coherence_tick(w->c);
    while (world_serve_one(w, WORLD_BEAT) || world_serve_one(w, WORLD_RESYNC) ||
           world_serve_one(w, WORLD_CHANGE));
}

/* A fake_step_fn: the same while somebody is parked. */
static uint64_t world_go_on(void *arg)
{
    world *w = arg;
    uint64_t next_ns = coherence_tick(w->c);
    bool served = world_serve_one(w, WORLD_BEAT) || world_serve_one(w, WORLD_RESYNC) ||
                  world_serve_one(w, WORLD_CHANGE);
    return served ? 0 : next_ns;
}

void world_goes_on(world *w)
{
    w->fake.step = world_go_on;
    w->fake.step_arg = w;
}

static void ask_for_beat(world *w)
{
    fake_env_advance(&w->fake, 2 * WORLD_BEAT_MS * NS_PER_MS);
    coherence_tick(w->c);
}

struct world_request *world_beat_executed(world *w)
{
    ask_for_beat(w);
    struct world_request *r = world_take(w, WORLD_BEAT);
    REQUIRE(r);
    world_execute(w, r);
    return r;
}

void world_beat_answered(world *w)
{
    ask_for_beat(w);
    REQUIRE(world_serve_one(w, WORLD_BEAT));
    coherence_tick(w->c);
}

void world_pass(world *w, uint64_t ms)
{
    fake_env_advance(&w->fake, ms * NS_PER_MS);
    world_settle(w);
}

/* ---- l2.h ---- */

int l2_beat(struct l2 *w, const struct l2_beat *beat, const struct l2_op *op)
{
    struct world_request r = {
        .kind = WORLD_BEAT, .after_seq = beat->after_seq, .nonce = beat->nonce};
    CHECK(beat->limit > 0);
    return world_submit(w, r, op);
}

int l2_resync(struct l2 *w, const struct l2_resync *resync, const struct l2_op *op)
{
    struct world_request r = {
        .kind = WORLD_RESYNC, .nonce = resync->nonce, .renew = resync->renew};
    REQUIRE_EQ(resync->renew_replid.len, sizeof(r.renew_replid));
    memcpy(r.renew_replid, resync->renew_replid.data, sizeof(r.renew_replid));
    return world_submit(w, r, op);
}

int l2_change(struct l2 *w, const struct l2_change *change, const struct l2_op *op)
{
    struct world_request r = {
        .kind = WORLD_CHANGE,
        .nonce = change->nonce,
        .schemas = change->schemas,
        .register_ms = change->registration.ms,
        .register_token = change->registration.token,
        .old_nodes = change->old_nodes,
        .group_count = change->group_count,
        .key_count = change->key_count,
    };
    REQUIRE(change->group_count <= 16);
    memcpy(r.groups, change->groups, change->group_count * sizeof(r.groups[0]));
    if (change->key_count > 0) {
        r.mode = change->keys[0].mode;
        r.version = change->keys[0].version;
        r.schema_count = change->keys[0].schema_count;
        snprintf(r.schema, sizeof(r.schema), "%.*s", (int)change->keys[0].key.schema.len,
                 (const char *)change->keys[0].key.schema.data);
    }
    r.tail.len = change->frame.tail.len;
    r.tail.bytes = malloc(r.tail.len);
    memcpy(r.tail.bytes, change->frame.tail.data, r.tail.len);
    return world_submit(w, r, op);
}

struct l2_op l2_sync_op(struct l2_sync *s, struct env *env, uint64_t deadline_ns)
{
    *s = (struct l2_sync){.env = env, .deadline_ns = deadline_ns};
    return (struct l2_op){.deadline_ns = deadline_ns, .sync = s};
}

struct l2_answer *l2_sync_wait(struct l2_sync *s)
{
    world *w = CONTAINER_OF(CONTAINER_OF(s->env, struct fake_env, env), world, fake);
    for (int turn = 0; !s->answer; turn++) {
        REQUIRE(turn < 100);
        if (w->waiting)
            w->waiting(w);
        else
            world_serve_one(w, WORLD_CHANGE);
    }
    return s->answer;
}

void l2_answer_free(struct l2_answer *answer)
{
    union {
        const void *in;
        void *out;
    } p;
    if (!answer)
        return;
    for (uint32_t i = 0; i < answer->entry_count; i++) {
        p.in = answer->entries[i].data;
        free(p.out);
    }
    p.in = answer->value.data;
    free(p.out);
    free(answer->entries);
    free(answer->entry_seqs);
    free(answer);
}

bool l2_connected(const struct l2 *w)
{
    return w->connected;
}

bool l2_is_awaited(struct l2 *w)
{
    return w->connected || w->connecting;
}

void l2_set_up_hook(struct l2 *w, void (*up)(void *arg), void *arg)
{
    w->up = up;
    w->up_arg = arg;
}

int l2_channel_create(const struct l2_channel_config *config, struct l2_channel **ret_channel)
{
    struct l2_channel *ch = calloc(1, sizeof(*ch));
    ch->config = *config;
    config->l2->channel = ch;
    *ret_channel = ch;
    return 0;
}

uint64_t l2_channel_step(struct l2_channel *ch, uint64_t wait_ns)
{
    (void)ch, (void)wait_ns;
    return CLOCK_NEVER_NS;
}

void l2_channel_wake(struct l2_channel *ch)
{
    (void)ch;
}

void l2_channel_reconnect(struct l2_channel *ch)
{
    ch->reconnects++;
}

void l2_problem_read(struct l2 *l2, struct l2_problem *ret)
{
    *ret = l2->problem;
}

struct l2_mark l2_mark_read(struct l2 *l2)
{
    return l2->mark;
}

size_t l2_argument_max(const struct l2 *l2)
{
    (void)l2;
    return SIZE_MAX;
}

void l2_channel_problem_read(struct l2_channel *ch, struct l2_problem *ret)
{
    (void)ch;
    *ret = (struct l2_problem){0};
}

void l2_channel_outage_read(struct l2_channel *ch, struct l2_outage *ret)
{
    (void)ch;
    *ret = (struct l2_outage){0};
}

void l2_outage_read(struct l2 *w, struct l2_outage *ret)
{
    *ret = w->outage;
}

void l2_channel_destroy(struct l2_channel *ch)
{
    free(ch);
}

/* ---- life ---- */

static void world_poke(void *arg)
{
    ((world *)arg)->pokes++;
}

static void world_init_as(world *w, uint32_t queue_items, uint64_t seed)
{
    *w = (world){.server = w, .entries_max = WORLD_FRAMES_MAX, .time_ms = 1700000000000};
    memset(w->replid, 'a', sizeof(w->replid));
    fake_env_init(&w->fake, seed);
    REQUIRE_EQ(stats_init(&w->stats, w->fake.env.mem), 0);
    struct coherence_config config = {
        .env = &w->fake.env,
        .stats = &w->stats,
        .l2 = w,
        .sink = {world_sink_group, NULL, world_sink_renew, world_sink_key, world_sink_floor,
                 world_sink_fill, world_sink_wake, world_sink_lost, world_sink_schema, w},
        .trust_ms = WORLD_TRUST_MS,
        .beat_ms = WORLD_BEAT_MS,
        .group_slots = WORLD_SLOTS,
        .queue_items = queue_items,
    };
    REQUIRE_EQ(coherence_open(&config, &w->c), 0);
    coherence_set_poke(w->c, world_poke, w);
}

void world_init(world *w, uint32_t queue_items)
{
    world_init_as(w, queue_items, check_seed());
}

void world_connect(world *w)
{
    w->connected = true;
    w->up(w->up_arg);
}

void world_open(world *w)
{
    world_init(w, 64);
    world_connect(w);
    w->channel->config.up(w->channel->config.arg);
    world_settle(w);
    world_pass(w, 10); /* the beat that the listener wanted */
    CHECK_NE(coherence_position(w->c).identity, 0);
    world_notes(w);
}

void world_open_beside(world *w, world *first)
{
    world_init_as(w, 64, check_seed() + 1);
    w->server = first;
    first->beside = w;
    fake_env_advance(&w->fake, first->fake.now_ns - w->fake.now_ns);
    world_connect(w);
    world_settle(w);
    world_pass(w, 10);
    CHECK_NE(coherence_position(w->c).identity, 0);
    world_notes(w);
}

void world_fini(world *w)
{
    while (w->requests) {
        struct world_request *r = w->requests;
        w->requests = r->next;
        world_deliver(r, NIGH_ECLOSED);
    }
    world_line_clear(&w->log);
    world_line_clear(&w->said);
    stats_fini(&w->stats);
    fake_env_fini(&w->fake);
}

void world_close(world *w)
{
    coherence_close(w->c);
    world_fini(w);
}

/* ---- asking ---- */

int world_change(world *w, const struct coherence_item *items, uint32_t count)
{
    struct coherence_change change = {
        .items = items,
        .item_count = count,
        .deadline_ns = clock_deadline_ns(w->fake.env.clock, 250),
    };
    return coherence_change(w->c, &change, NULL);
}

uint16_t world_space_slot(void)
{
    struct coherence_item space = {.kind = WIRE_SPACE, .space = bytes_of_string("s")};
    return coherence_item_slot(&space, WORLD_SLOTS);
}

enum coherence_verdict world_judge(world *w, uint64_t sequence, const char *tag)
{
    uint8_t group[8];
    struct coherence_item item = world_tag(tag, false);
    struct l2_clock clock = world_clock(w->server);
    put_le64(group, coherence_item_hash(&item));
    struct l2_envelope e = {
        .home = clock.home,
        .identity = clock.identity,
        .sequence = sequence,
        .groups = group,
        .group_count = 1,
    };
    return coherence_judge(w->c, &e, world_space_slot(), clock.home);
}

bool world_trusts(world *w)
{
    struct coherence_gauges g;
    coherence_gauges_read(w->c, &g);
    return g.trusted;
}

uint64_t world_applied(world *w)
{
    struct coherence_gauges g;
    coherence_gauges_read(w->c, &g);
    return g.applied;
}

uint32_t world_queued(world *w)
{
    struct coherence_gauges g;
    coherence_gauges_read(w->c, &g);
    return g.queued;
}

bool world_covers(world *w, const char *key)
{
    return coherence_queued_covers(w->c, bytes_of_string("s"), bytes_of_string(key), NULL, 0);
}
