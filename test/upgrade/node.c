// SPDX-License-Identifier: MIT
// A node that does as it is told, line by line: a cache with one space before the shared origin.
//
//     node URI PREFIX SCHEMA BUILD(0|1) ORIGIN_FILE LOG_FILE
//
//     fetch KEY                  load it if need be
//     peek KEY                   what L1 has
//     look KEY                   what Redis has, whatever L1 has; nothing is kept
//     invalidate KEY
//     put KEY NUMBER VERSION     commits nothing
//     write KEY NUMBER VERSION   the writer commits
//     tag KEY | space | all      the tag that the key's value has
//     health
//     stat NAME
//
// Each is answered by a line of two numbers: what the call returned, and the value (0: none). Only
// the public API of both builds is used, so that this source makes a node of either.

#include <nigh/nigh.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "origin_file.h"

struct node {
    struct nigh *cache;
    struct nigh_space *space;
    struct origin_file *origin;
    enum build build;
    FILE *log;
};

/* ---- origin ---- */

static unsigned row_of(const void *key, size_t len)
{
    char text[16] = "";
    memcpy(text, key, len < sizeof(text) ? len : sizeof(text) - 1);
    return (unsigned)atoi(text + 1) % ORIGIN_ROWS;
}

/* Every second row has versions; all have a tag of their own, named like the key. */
static int load_row(void *arg, struct nigh_fill *const fills[], size_t n)
{
    struct node *node = arg;
    char text[32], tag[16];
    size_t len;
    (void)n;
    const void *key = nigh_fill_key(fills[0], &len);
    unsigned row = row_of(key, len);
    atomic_fetch_add(&node->origin->loads[node->build][row], 1);
    uint64_t number = atomic_load(&node->origin->rows[row]);
    snprintf(tag, sizeof(tag), "k%u", row);
    if (row % 2 == 0 && nigh_fill_set_version(fills[0], number) < 0)
        return -1;
    if (nigh_fill_add_tag(fills[0], tag) < 0)
        return -1;
    len = (size_t)snprintf(text, sizeof(text), "%llu", (unsigned long long)number);
    return nigh_fill_value(fills[0], text, len);
}

static int write_row(void *arg, const struct nigh_write_op *op)
{
    struct node *node = arg;
    char text[32] = "";
    memcpy(text, op->value, op->value_len < sizeof(text) ? op->value_len : sizeof(text) - 1);
    atomic_store(&node->origin->rows[row_of(op->key, op->key_len)], strtoull(text, NULL, 10));
    return 0;
}

/* ---- commands ---- */

struct line {
    char *word, *key, *number, *version; /* "" where the line has none */
};

static uint64_t version_of(const struct line *l)
{
    return strtoull(l->version, NULL, 10);
}

static int read_key(struct node *n, const struct line *l, uint64_t *ret_number)
{
    struct nigh_call call = NIGH_CALL_INIT;
    struct nigh_value value = NIGH_VALUE_INIT;
    size_t len = strlen(l->key);
    char text[32] = "";
    int rc;
    if (strcmp(l->word, "fetch") == 0) {
        rc = nigh_fetch(n->space, l->key, len, NULL, &value);
    } else {
        call.flags = strcmp(l->word, "peek") == 0 ? NIGH_L1_ONLY : NIGH_REFRESH | NIGH_NO_STORE;
        rc = nigh_get(n->space, l->key, len, &call, &value);
    }
    if (value.data)
        memcpy(text, value.data, value.len < sizeof(text) ? value.len : sizeof(text) - 1);
    *ret_number = strtoull(text, NULL, 10);
    nigh_release(&value);
    return rc;
}

static int store_key(struct node *n, const struct line *l)
{
    struct nigh_call call = NIGH_CALL_INIT;
    const char *tags[] = {l->key};
    call.version = version_of(l);
    call.tags = tags;
    call.tag_count = 1;
    int (*store)(struct nigh_space *, const void *, size_t, const void *, size_t,
                 const struct nigh_call *) = *l->word == 'p' ? nigh_put : nigh_write;
    return store(n->space, l->key, strlen(l->key), l->number, strlen(l->number), &call);
}

static int invalidate(struct node *n, const struct line *l)
{
    struct nigh_target target = {NIGH_TARGET_KEY, n->space, l->key, strlen(l->key), 0};
    if (strcmp(l->word, "tag") == 0)
        target.kind = NIGH_TARGET_TAG;
    if (strcmp(l->word, "space") == 0)
        target.kind = NIGH_TARGET_SPACE;
    if (strcmp(l->word, "all") == 0)
        target.kind = NIGH_TARGET_ALL;
    return nigh_invalidate_many(n->cache, &target, 1, NULL);
}

static long long obey(struct node *n, const struct line *l, uint64_t *ret_number)
{
    if (strcmp(l->word, "health") == 0)
        return nigh_health(n->cache);
    if (strcmp(l->word, "stat") == 0)
        return nigh_stats_value(n->cache, NULL, l->key);
    if (strcmp(l->word, "put") == 0 || strcmp(l->word, "write") == 0)
        return store_key(n, l);
    if (strcmp(l->word, "fetch") == 0 || strcmp(l->word, "peek") == 0 ||
        strcmp(l->word, "look") == 0)
        return read_key(n, l, ret_number);
    return invalidate(n, l);
}

static char *next_word(char **rest)
{
    char *word = strtok_r(NULL, " \n", rest);
    return word ? word : "";
}

/* Until its input ends. */
static void serve(struct node *n)
{
    char text[256];
    while (fgets(text, sizeof(text), stdin)) {
        char *rest;
        struct line l = {.word = strtok_r(text, " \n", &rest)};
        uint64_t number = 0;
        if (!l.word)
            continue;
        l.key = next_word(&rest);
        l.number = next_word(&rest);
        l.version = next_word(&rest);
        long long rc = obey(n, &l, &number);
        printf("%lld %llu\n", rc, (unsigned long long)number);
        fflush(stdout);
    }
}

/* ---- the program ---- */

static void log_line(void *arg, enum nigh_log_level level, const char *message)
{
    struct node *n = arg;
    fprintf(n->log, "%d %s\n", (int)level, message);
    fflush(n->log);
}

int main(int argc, char **argv)
{
    struct nigh_options o = NIGH_OPTIONS_INIT;
    struct node n = {0};
    if (argc != 7)
        return 2;
    unsetenv("NIGH_CONF");
    n.build = argv[4][0] == '0' ? BUILD_OLD : BUILD_NEW;
    n.origin = origin_file_map(argv[5]);
    n.log = fopen(argv[6], "we");
    if (!n.origin || !n.log)
        return 1;
    o.redis_uri = argv[1];
    o.redis_prefix = argv[2];
    o.space.schema = argv[3];
    o.group_slots = 2048; /* the smallest there is: many nodes in one test */
    o.l1_memory = 16u << 20;
    o.l2_deadline_ms = 10000; /* a slow machine is no fault */
    o.l2_stale_deadline_ms = 10000;
    o.log = log_line;
    o.log_arg = &n;
    if (nigh_open(&o, &n.cache) < 0 ||
        nigh_space_open(n.cache, "s", NULL, load_row, write_row, &n, &n.space) < 0) {
        fprintf(n.log, "%s\n", nigh_options_error());
        return 1;
    }
    serve(&n);
    nigh_close(n.cache);
    return 0;
}
