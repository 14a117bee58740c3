// SPDX-License-Identifier: MIT
/*
 * Which format it is, and the list that all of them become.
 */
#include "input/input.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "input/builder.h"
#include "input/formats.h"
#include "support/fail.h"

#define ROOM_MIN   4096u
#define HEAD_BYTES 4096u /* by which a format is known */
#define TEXT_HEAD  64u /* ... and a text */
#define TEXT_LEAST 8u  /* of so many letters no number is meant */
#define SHARE_MOST 2u  /* of this machine's memory: its half */
#define US_PER_S   1000000u
#define BACK_MOST  (60 * (uint64_t)US_PER_S) /* by which a time may go back in one file */
#define BIAS_US    ((int64_t)1 << 61) /* of times while they are read: some are before the first */

/* ---- a list that grows ---- */

/* What all of it would take if it was twice as much, about. */
static uint64_t grown_bytes(const struct builder *b)
{
    const struct trace *t = &b->in->trace;
    uint64_t of_request = sizeof(*t->requests) + sizeof(*t->at_us);
    uint64_t of_key = sizeof(*b->keys.slots) + sizeof(*b->sizes);
    if (b->has_story) {
        of_request += sizeof(*t->brings) + sizeof(*t->lives);
        of_key += sizeof(*b->loads) + sizeof(*b->misses);
    }
    return 2 * (b->room * of_request + b->change_room * sizeof(*t->changes) +
                b->keys.capacity * of_key + b->other_bytes);
}

/* Returns how long a list shall be that is full; if there is no memory for it, b->full. */
static size_t grown(struct builder *b, size_t room)
{
    b->full |= room > 0 && grown_bytes(b) > b->most_bytes;
    return b->full ? room : room ? 2 * room : ROOM_MIN;
}

static void make_room(struct builder *b)
{
    struct trace *t = &b->in->trace;
    if (t->count < b->room)
        return;
    b->room = grown(b, b->room);
    if (b->full)
        return;
    t->requests = must_grow(t->requests, b->room, sizeof(*t->requests));
    t->at_us = must_grow(t->at_us, b->room, sizeof(*t->at_us));
    if (!b->has_story)
        return;
    t->brings = must_grow(t->brings, b->room, sizeof(*t->brings));
    t->lives = must_grow(t->lives, b->room, sizeof(*t->lives));
}

/* Times that are nonsense are cut, so that they can be counted from any other. */
static int64_t since(int64_t first_us, int64_t at_us)
{
    int64_t us;
    if (__builtin_sub_overflow(at_us, first_us, &us))
        us = at_us < first_us ? INT64_MIN : INT64_MAX;
    return us < -BIAS_US ? -BIAS_US : us > BIAS_US - 1 ? BIAS_US - 1 : us;
}

void builder_add(struct builder *b, uint64_t key, uint32_t size, int64_t at_us)
{
    struct trace *t = &b->in->trace;
    size_t i = t->count;
    make_room(b);
    if (b->full)
        return;
    if (at_us != TIME_UNKNOWN) {
        b->first_us = b->timed ? b->first_us : at_us;
        b->timed = true;
        b->since_us = since(b->first_us, at_us);
    }
    t->at_us[i] = (uint64_t)(b->since_us + BIAS_US);
    t->requests[i] = (struct request){key_map_number(&b->keys, key), size};
    if (b->has_story) {
        t->brings[i] = BRINGS_IF_MISSED;
        t->lives[i] = (struct life){LIFE_FOREVER, 0};
    }
    t->count++;
}

void builder_change(struct builder *b, const struct change *c)
{
    struct trace *t = &b->in->trace;
    if (t->change_count == b->change_room) {
        b->change_room = grown(b, b->change_room);
        if (b->full)
            return;
        t->changes = must_grow(t->changes, b->change_room, sizeof(*t->changes));
    }
    t->changes[t->change_count] = *c;
    t->changes[t->change_count++].before = t->count;
    b->in->invalidations += c->kind != CHANGE_PUT;
}

/* ---- misses ---- */

static struct builder_miss *miss_of(struct builder *b, uint64_t key)
{
    uint32_t number = key_map_number(&b->keys, key);
    while (b->missed <= number) {
        b->misses = must_grow(b->misses, b->keys.capacity, sizeof(*b->misses));
        b->misses[b->missed++] = (struct builder_miss){0};
    }
    return &b->misses[number];
}

void builder_note_miss(struct builder *b, uint64_t key, bool stale)
{
    struct builder_miss *m = miss_of(b, key);
    m->looks |= m->open > 0;
    m->open = b->in->trace.count;
    m->stale = stale;
    b->in->trace.brings[b->in->trace.count - 1] = BRINGS_NOTHING;
}

void builder_note_value(struct builder *b, uint64_t key, bool is_put)
{
    struct builder_miss *m = miss_of(b, key);
    m->put |= is_put;
    if (m->open) {
        m->stores = true;
        b->in->trace.brings[m->open - 1] = m->stale ? BRINGS_ANYWAY : BRINGS_IF_MISSED;
    }
    m->open = 0;
}

void builder_settle_misses(struct builder *b)
{
    const struct trace *t = &b->in->trace;
    for (size_t i = 0; i < t->count; i++) {
        uint32_t key = t->requests[i].key;
        const struct builder_miss *m = key < b->missed ? &b->misses[key] : NULL;
        if (m && !m->stores && (m->put || m->looks || m->open))
            t->brings[i] = BRINGS_NOTHING;
    }
}

/* ---- times ---- */

struct place {
    uint64_t at_us;
    uint32_t index;
};

static int by_time(const void *a, const void *b)
{
    const struct place *x = a, *y = b;
    if (x->at_us != y->at_us)
        return x->at_us < y->at_us ? -1 : 1;
    return x->index < y->index ? -1 : x->index > y->index;
}

static bool goes_back(const struct trace *t)
{
    uint64_t latest = 0;
    for (size_t i = 0; i < t->count; i++) {
        if (t->at_us[i] < latest && latest - t->at_us[i] > BACK_MOST)
            return true;
        latest = t->at_us[i] > latest ? t->at_us[i] : latest;
    }
    return false;
}

/* Of a recording, whose requests have a story, times never go back. */
static void put_in_order(struct input *in)
{
    struct trace *t = &in->trace;
    struct place *places = must_alloc(t->count, sizeof(*places));
    struct request *requests = must_alloc(t->count, sizeof(*requests));
    for (size_t i = 0; i < t->count; i++)
        places[i] = (struct place){t->at_us[i], (uint32_t)i};
    qsort(places, t->count, sizeof(*places), by_time);
    for (size_t i = 0; i < t->count; i++) {
        requests[i] = t->requests[places[i].index];
        t->at_us[i] = places[i].at_us;
    }
    free(places);
    free(t->requests);
    t->requests = requests;
    in->turned = true;
}

void builder_settle_times(struct builder *b)
{
    struct trace *t = &b->in->trace;
    if (t->count == 0 || t->count >= UINT32_MAX)
        return;
    if (goes_back(t))
        put_in_order(b->in);
    uint64_t first = t->at_us[0], last = first;
    for (size_t i = 0; i < t->count; i++) {
        last = t->at_us[i] > last ? t->at_us[i] : last;
        t->at_us[i] = last - first;
    }
    for (size_t i = 0; i < t->change_count; i++) {
        uint64_t *at_us = &t->changes[i].at_us; /* on the clock of builder_add() */
        *at_us = *at_us > (uint64_t)b->first_us ? *at_us - (uint64_t)b->first_us : 0;
    }
}

uint64_t input_span_s(const struct input *in)
{
    return in->trace.at_us ? in->trace.at_us[in->trace.count - 1] / US_PER_S : 0;
}

size_t input_set_value_max(struct input *in, uint32_t bytes)
{
    struct trace *t = &in->trace;
    size_t count = 0;
    for (size_t i = 0; i < t->count; i++)
        count += t->requests[i].size > bytes;
    if (count > 0 && !t->brings) {
        t->brings = must_alloc(t->count, sizeof(*t->brings));
        memset(t->brings, BRINGS_IF_MISSED, t->count);
    }
    for (size_t i = 0; count > 0 && i < t->count; i++)
        if (t->requests[i].size > bytes)
            t->brings[i] = BRINGS_NOTHING;
    return count;
}

void input_set_life(struct input *in, struct life life)
{
    struct trace *t = &in->trace;
    t->lives = must_grow(t->lives, t->count, sizeof(*t->lives));
    for (size_t i = 0; i < t->count; i++)
        t->lives[i] = life;
    for (size_t i = 0; i < t->change_count; i++)
        t->changes[i].life = life;
}

/* ---- sizes ---- */

/* Keys that came since get their place. */
static void size_all(struct builder *b)
{
    b->sizes = must_grow(b->sizes, b->keys.capacity, sizeof(*b->sizes));
    while (b->sized < b->keys.count)
        b->sizes[b->sized++] = SIZE_UNKNOWN;
}

static void note_size(struct builder *b, uint32_t key, uint32_t size)
{
    if (size != SIZE_UNKNOWN && (b->sizes[key] == SIZE_UNKNOWN || size > b->sizes[key]))
        b->sizes[key] = size;
}

void builder_note_size(struct builder *b, uint64_t key, uint32_t size)
{
    uint32_t number = key_map_number(&b->keys, key);
    if (number >= b->sized)
        size_all(b);
    note_size(b, number, size);
}

/* SIZE_UNKNOWN: none is known. */
static uint32_t mean_size(const struct builder *b)
{
    uint64_t sum = 0, known = 0;
    for (uint32_t key = 0; key < b->sized; key++)
        if (b->sizes[key] != SIZE_UNKNOWN) {
            sum += b->sizes[key];
            known++;
        }
    return known ? (uint32_t)(sum / known) : SIZE_UNKNOWN;
}

void builder_settle_sizes(struct builder *b)
{
    struct trace *t = &b->in->trace;
    size_all(b);
    for (size_t i = 0; i < t->count; i++)
        note_size(b, t->requests[i].key, t->requests[i].size);
    uint32_t mean = mean_size(b);
    if (mean == SIZE_UNKNOWN) {
        b->in->has_sizes = false;
        input_set_sizes(b->in, 0);
        return;
    }
    for (size_t i = 0; i < t->count; i++) {
        struct request *q = &t->requests[i];
        q->size = b->sizes[q->key];
        if (q->size == SIZE_UNKNOWN) {
            q->size = mean;
            b->in->unsized++;
        }
    }
    for (size_t i = 0; i < t->change_count; i++) {
        struct change *c = &t->changes[i];
        c->size = c->size != SIZE_UNKNOWN ? c->size : b->sizes[c->key];
        c->size = c->size != SIZE_UNKNOWN ? c->size : mean;
    }
}

/* ---- loads ---- */

void builder_note_load(struct builder *b, uint64_t key, uint32_t us)
{
    uint32_t number = key_map_number(&b->keys, key);
    while (b->loaded <= number) {
        b->loads = must_grow(b->loads, b->keys.capacity, sizeof(*b->loads));
        b->loads[b->loaded++] = (struct builder_load){0};
    }
    b->loads[number].us += us;
    b->loads[number].count++;
}

/* A key that was never loaded gets the mean of all loads. */
static void settle_loads(struct builder *b)
{
    double us = 0, count = 0;
    for (uint32_t key = 0; key < b->loaded; key++) {
        us += (double)b->loads[key].us;
        count += b->loads[key].count;
    }
    if (us <= 0)
        return;
    b->in->load_us = must_alloc(b->keys.count, sizeof(*b->in->load_us));
    for (uint32_t key = 0; key < b->keys.count; key++) {
        bool known = key < b->loaded && b->loads[key].count > 0;
        b->in->load_us[key] = known ? (float)b->loads[key].us / (float)b->loads[key].count
                                    : (float)(us / count);
    }
}

void builder_end(struct builder *b)
{
    b->in->trace.unique = b->keys.count;
    if (b->key_bytes_sum)
        b->in->key_bytes = (uint32_t)(b->key_bytes_sum / b->in->trace.count);
    settle_loads(b);
    free(b->sizes);
    free(b->loads);
    free(b->misses);
    key_map_free(&b->keys);
}

/* ---- formats ---- */

static bool ends_with(const char *path, const char *ending)
{
    size_t len = strlen(path), n = strlen(ending);
    if (len > 4 && strcmp(path + len - 4, ".zst") == 0)
        len -= 4;
    return len >= n && memcmp(path + len - n, ending, n) == 0;
}

static bool is_text(const char *head, size_t len)
{
    for (size_t i = 0; i < len; i++)
        if ((head[i] < ' ' && !strchr("\t\r\n", head[i])) || head[i] == 127)
            return false;
    return len >= TEXT_LEAST;
}

static char *read_trace(struct builder *b, struct stream *s)
{
    char head[HEAD_BYTES];
    size_t len = input_stream_peek(s, head, sizeof(head));
    if (len == 0 && !input_stream_why(s))
        return must_print("%s is empty", input_stream_path(s));
    if (format_is_recording(head, len))
        return format_recording(b, s);
    if (is_text(head, len < TEXT_HEAD ? len : TEXT_HEAD))
        return must_print("%s is text, no trace; an access log is given with --log",
                          input_stream_path(s));
    if (strstr(input_stream_path(s), "oracleGeneral"))
        return format_oracle(b, s);
    if (ends_with(input_stream_path(s), ".t8"))
        return format_t8(b, s);
    if (format_may_be_oracle(head, len))
        return format_oracle(b, s);
    if (strcmp(input_stream_path(s), "stdin") == 0 && format_may_be_t8(head, len))
        return format_t8(b, s); /* a file can have a name that says so */
    return must_print("%s is no trace that is known here: no recording of nigh's (trace.file) and "
                      "no oracleGeneral, and its name does not end in .t8 (or .t8.zst); an access "
                      "log is given with --log",
                      input_stream_path(s));
}

static char *judge(const struct builder *b, const char *path)
{
    size_t count = b->in->trace.count;
    if (b->full)
        return must_print("%s has more requests than there is memory for (%zu so far): give a part "
                          "of it",
                          path, count);
    if (count == 0)
        return must_print("%s has no requests", path);
    if (count >= UINT32_MAX)
        return must_print("%s has more than 4 billion requests: give a part of it", path);
    return NULL;
}

char *input_read(struct input *in, enum input_kind kind, const char *path)
{
    uint64_t pages = (uint64_t)sysconf(_SC_PHYS_PAGES);
    return input_read_within(in, kind, path, pages * (uint64_t)sysconf(_SC_PAGESIZE) / SHARE_MOST);
}

char *input_read_within(struct input *in, enum input_kind kind, const char *path,
                        uint64_t most_bytes)
{
    struct builder b = {.in = in, .most_bytes = most_bytes};
    char *why = NULL;
    *in = (struct input){.rate = 1, .has_sizes = true};
    struct stream *s = input_stream_open(path, &why);
    if (!s)
        return why;
    why = kind == INPUT_LOG ? format_log(&b, s) : read_trace(&b, s);
    if (!why && input_stream_why(s))
        why = must_print("%s", input_stream_why(s));
    why = why ? why : judge(&b, input_stream_path(s));
    builder_end(&b);
    input_stream_close(s);
    return why;
}

void input_free(struct input *in)
{
    trace_free(&in->trace);
    free(in->load_us);
    *in = (struct input){0};
}

double input_expected(const struct input *in)
{
    return in->reads ? (double)in->reads * in->rate : (double)in->trace.count;
}

void input_set_sizes(struct input *in, uint32_t bytes)
{
    for (size_t i = 0; i < in->trace.count; i++)
        in->trace.requests[i].size = bytes;
    for (size_t i = 0; i < in->trace.change_count; i++)
        in->trace.changes[i].size = bytes;
}
