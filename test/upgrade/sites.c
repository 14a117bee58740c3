// SPDX-License-Identifier: MIT
// What the cases do to a site and ask of it (sites.h).

#include "upgrade/sites.h"

#include <stdlib.h>
#include <string.h>

const char *kind_name(enum kind kind)
{
    static const char *const names[] = {"invalidate", "put", "write", "tag", "space", "all"};
    return names[kind];
}

long long site_change(struct site *s, struct node *n, enum kind kind, unsigned row, uint64_t number)
{
    unsigned long long text = number, version = row % 2 == 0 ? number : 0;
    if (kind != WRITE)
        site_commit(s, row, number);
    if (kind == PUT || kind == WRITE)
        return node_ask(n, "%s k%u %llu %llu", kind_name(kind), row, text, version).outcome;
    return node_ask(n, "%s k%u", kind_name(kind), row).outcome;
}

bool shows_fresh(struct node *n, const char *how, unsigned row, uint64_t number)
{
    struct said said = node_ask(n, "%s k%u", how, row);
    return said.outcome == SAID_FRESH && said.number <= number;
}

bool has_fresh(struct node *n, const char *how, unsigned row, uint64_t number)
{
    struct said said = node_ask(n, "%s k%u", how, row);
    return said.outcome == SAID_FRESH && said.number == number;
}

static const char *const hows[] = {"peek", "look", "fetch"};

bool shows_nowhere(struct node *n, unsigned row, uint64_t number)
{
    for (unsigned i = 0; i < 3; i++)
        if (shows_fresh(n, hows[i], row, number))
            return false;
    return true;
}

bool shows_anywhere(struct node *n, unsigned row, uint64_t number)
{
    bool shown = false;
    for (unsigned i = 0; i < 3; i++) {
        if (!shows_fresh(n, hows[i], row, number))
            continue;
        check_note("%s: %s k%u shows %llu", n->log_path, hows[i], row, (unsigned long long)number);
        shown = true;
    }
    return shown;
}

bool is_trusted(struct node *n)
{
    return node_ask(n, "health").outcome == SAID_FRESH;
}

/* ---- keys in Redis ---- */

char *clock_bytes(const struct site *s, unsigned from, unsigned to)
{
    static const char script[] =
        "return (string.gsub(redis.call('GETRANGE', KEYS[1], ARGV[1], ARGV[2]), '.', "
        "function(c) return string.format('%02x', string.byte(c)) end))";
    return redis_command(s->server, "EVAL %s 1 %s:!2:!clk %u %u", script, s->prefix, from, to);
}

static bool clock_is_zero(const struct site *s, unsigned from, unsigned to)
{
    char *digits = clock_bytes(s, from, to);
    bool whole = digits && strlen(digits) == 2 * (to - from + 1u);
    bool zero = !whole || strspn(digits, "0") == strlen(digits);
    free(digits);
    return zero;
}

bool knows_old_nodes(const struct site *s)
{
    return !clock_is_zero(s, 40, 55);
}

bool is_calm(const struct site *s)
{
    return clock_is_zero(s, 56, 63);
}

void site_settle(struct site *s, struct node *n)
{
    MUST_COME(knows_old_nodes(s) && is_calm(s));
    MUST_COME(is_trusted(n));
}

void site_redis(const struct site *s, const char *format)
{
    free(redis_command(s->server, format, s->prefix));
}

long long site_integer(const struct site *s, const char *format)
{
    return redis_integer(s->server, format, s->prefix);
}
