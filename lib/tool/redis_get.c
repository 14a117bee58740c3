// SPDX-License-Identifier: MIT
/*
 * nigh get --redis: what Redis has of a key, in plain words, or its value.
 */
#include "tool/redis.h"

#include <stdio.h>
#include <string.h>

/* Tells whether a line is about the key or Redis. Its label stands at its beginning, if it is not
 * that of the line before. */
static bool is_of_redis(const char *line, bool is_before)
{
    static const char *const labels[] = {"key ", "Redis ", "lease ", "note "};
    if (*line == ' ')
        return is_before;
    for (size_t i = 0; i < sizeof(labels) / sizeof(labels[0]); i++)
        if (strncmp(line, labels[i], strlen(labels[i])) == 0)
            return true;
    return false;
}

static void print_line(const char *line)
{
    fold_put(line);
    putchar('\n');
}

/* Prints these lines, and spoils the text: the others are about this program's own L1, which is
 * empty, and its trust. */
static void print_of_redis(char *text)
{
    bool wanted = false;
    for (char *line = text, *end; *line; line = end) {
        end = line + strcspn(line, "\n");
        if (*end)
            *end++ = '\0';
        wanted = is_of_redis(line, wanted);
        if (wanted)
            print_line(line);
    }
}

/* Prints what Redis has of the key, in a sentence: the last part of why L1 has it not. Returns
 * whether it has anything. */
static bool print_state(const char *explanation)
{
    struct json *j = json_read(explanation);
    const char *why = j ? json_string(j, "why", NULL, NULL) : NULL;
    const char *redis = why ? strstr(why, "; ") : NULL;
    for (const char *next; redis && (next = strstr(redis + 2, "; "));)
        redis = next;
    if (why)
        print_line(redis ? redis + 2 : why);
    bool there = !why || !strstr(why, "Redis does not have it");
    json_free(j);
    return there;
}

static int show(const struct tool_args *args, struct redis_node *n, const char *key, size_t key_len)
{
    static char text[65536], whole[65536];
    long len = nigh_explain(n->space, key, key_len, NIGH_STATS_TEXT, text, sizeof(text));
    if (len >= 0)
        len = nigh_explain(n->space, key, key_len, NIGH_STATS_JSON, whole, sizeof(whole));
    if (len < 0) {
        redis_fail(nigh_strerror((int)len), "");
        return TOOL_REFUSED;
    }
    bool there = print_state(whole);
    print_of_redis(text);
    fflush(stdout);
    if (!there)
        redis_look_at_space(args, n, true);
    return TOOL_DONE;
}

static int write_raw(struct redis_node *n, const char *key, size_t key_len)
{
    struct nigh_value value;
    int rc = nigh_get(n->space, key, key_len, NULL, &value);
    if (rc == NIGH_MISS) {
        redis_fail("Redis has no value of it that is of use", "without --raw it is said why");
        return TOOL_REFUSED;
    }
    if (rc != NIGH_FRESH && rc != NIGH_STALE) {
        redis_fail(nigh_strerror(rc), "");
        return TOOL_REFUSED;
    }
    if (rc == NIGH_STALE)
        redis_fail("the value is stale", "");
    fwrite(value.data, 1, value.len, stdout);
    nigh_release(&value);
    return TOOL_DONE;
}

int redis_get(const struct tool_args *args)
{
    struct redis_node n = {.cache = NULL};
    if (!args->space || args->count != 1) {
        redis_fail("--space S KEY is wanted", "");
        return TOOL_USAGE;
    }
    char *key = args->words[0];
    size_t len = redis_length_of(args, key);
    int status = redis_open(args, &n);
    if (status == 0)
        redis_look_at_prefix(&n);
    if (status == 0)
        status = args->raw ? write_raw(&n, key, len) : show(args, &n, key, len);
    nigh_close(n.cache);
    return status;
}
