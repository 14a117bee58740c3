// SPDX-License-Identifier: MIT
/*
 * Asking processes for their numbers, and what comes of two answers of each. A process that has
 * come between them has no rates yet; one that has gone has none any more.
 */
#include "tool/second.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#define PATIENCE_MS 1000u /* as long as a second is */

static double now_s(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* ---- asking ---- */

void moment_free(struct moment *m)
{
    for (size_t i = 0; i < TOOL_SOCKETS_MAX; i++) {
        json_free(m->of[i]);
        free(m->paths[i]);
    }
    memset(m, 0, sizeof(*m));
}

unsigned second_patience_ms(const struct tool_args *args)
{
    return args->timeout_ms < PATIENCE_MS ? args->timeout_ms : PATIENCE_MS;
}

void moment_ask(struct moment *m, const struct tool_args *args, const char *command)
{
    struct line_answer answers[TOOL_SOCKETS_MAX];
    moment_free(m);
    m->at_s = now_s();
    lines_ask(args->sockets, args->socket_count, command, second_patience_ms(args), answers);
    for (size_t i = 0; i < args->socket_count; i++) {
        char *text = answers[i].text;
        m->of[i] = text && !line_is_error(text) ? json_read(text) : NULL;
        m->paths[i] = strdup(args->sockets[i]);
        m->count += m->of[i] != NULL;
        m->why = m->of[i] ? m->why : answers[i].why;
        free(text);
    }
}

/* Gives what a process said before the place that it has now. */
static void align(struct second *s, struct moment *was, const struct tool_args *args)
{
    s->before.at_s = was->at_s;
    for (size_t i = 0; i < args->socket_count; i++) {
        for (size_t k = 0; k < TOOL_SOCKETS_MAX; k++) {
            if (!was->of[k] || !was->paths[k] || strcmp(was->paths[k], args->sockets[i]) != 0)
                continue;
            s->before.of[i] = was->of[k];
            was->of[k] = NULL;
            break;
        }
    }
}

static void list_space(struct second *s, const char *name)
{
    for (size_t i = 0; i < s->space_count; i++)
        if (strcmp(s->spaces[i], name) == 0)
            return;
    s->more_spaces = s->space_count == SECOND_SPACES;
    if (!s->more_spaces)
        s->spaces[s->space_count++] = name;
}

/* Lists the spaces of all processes: they need not have the same. */
static void list_spaces(struct second *s)
{
    const char *name;
    s->space_count = 0;
    s->more_spaces = false;
    for (size_t i = 0; i < TOOL_SOCKETS_MAX; i++) {
        const struct json *j = s->now.of[i];
        for (size_t k = 0; j && !s->more_spaces && (name = json_name(j, "spaces", k)); k++)
            list_space(s, name);
    }
}

void second_ask(struct second *s, const struct tool_args *args)
{
    struct moment was = s->now;
    memset(&s->now, 0, sizeof(s->now));
    moment_free(&s->before);
    align(s, &was, args);
    moment_free(&was);
    moment_ask(&s->now, args, "stats json");
    list_spaces(s);
}

/* ---- numbers ---- */

static double above_0(double x)
{
    return x > 0 ? x : 0;
}

double second_gauge(const struct second *s, const char *name)
{
    double all = 0;
    for (size_t i = 0; i < TOOL_SOCKETS_MAX; i++)
        all += s->now.of[i] ? json_number(s->now.of[i], "gauges", name, NULL) : 0;
    return all;
}

/* Whether a process has answered at both ends. */
static bool has_both(const struct second *s, size_t i)
{
    return s->before.of[i] && s->now.of[i];
}

static double per_second(const struct second *s, double more)
{
    double seconds = s->now.at_s - s->before.at_s;
    return seconds > 0 ? more / seconds : 0;
}

double second_rate(const struct second *s, const char *space, const char *name)
{
    const char *a = space ? "spaces" : "cache";
    const char *b = space ? space : name;
    const char *c = space ? name : NULL;
    double more = 0;
    for (size_t i = 0; i < TOOL_SOCKETS_MAX; i++)
        if (has_both(s, i))
            more += above_0(json_number(s->now.of[i], a, b, c) -
                            json_number(s->before.of[i], a, b, c));
    return per_second(s, more);
}

double second_rate_of_spaces(const struct second *s, const char *name)
{
    double more = 0;
    for (size_t i = 0; i < TOOL_SOCKETS_MAX; i++)
        if (has_both(s, i))
            more += above_0(json_sum(s->now.of[i], "spaces", name) -
                            json_sum(s->before.of[i], "spaces", name));
    return per_second(s, more);
}

double second_latency_ns(const struct second *s, const char *space, const char *name)
{
    double worst = 0;
    for (size_t i = 0; i < TOOL_SOCKETS_MAX; i++) {
        if (!has_both(s, i))
            continue;
        double ns = json_quantile_since(s->before.of[i], s->now.of[i], space, name, 0.99);
        worst = ns > worst ? ns : worst;
    }
    return worst;
}

double second_lowest(const struct second *s, const char *a, const char *b, const char *c)
{
    double least = 0;
    for (size_t i = 0; i < TOOL_SOCKETS_MAX; i++) {
        double n = s->now.of[i] ? json_number(s->now.of[i], a, b, c) : 0;
        least = n > 0 && (least <= 0 || n < least) ? n : least;
    }
    return least;
}

bool second_has_text(const struct second *s, const char *name)
{
    bool any = false;
    for (size_t i = 0; i < TOOL_SOCKETS_MAX; i++) {
        const char *text = s->now.of[i] ? json_string(s->now.of[i], name, NULL, NULL) : NULL;
        any |= text && *text;
    }
    return any;
}

double second_hits_1m(const struct second *s, const char *space)
{
    double hits = 0, reads = 0;
    for (size_t i = 0; i < TOOL_SOCKETS_MAX; i++) {
        const struct json *j = s->now.of[i];
        double own = j ? json_number(j, "spaces", space, "l1_reads_1m") : 0;
        reads += own;
        hits += own > 0 ? own * json_number(j, "spaces", space, "l1_hits_1m_ppm") / 1e6 : 0;
    }
    return reads > 0 ? 100 * hits / reads : 0;
}

double second_minute_s(const struct second *s)
{
    double most = 0;
    for (size_t i = 0; i < TOOL_SOCKETS_MAX; i++) {
        const struct json *j = s->now.of[i];
        for (size_t k = 0; j && k < s->space_count; k++) {
            double ms = json_number(j, "spaces", s->spaces[k], "window_1m_ms");
            most = ms > most ? ms : most;
        }
    }
    return most / 1000;
}
