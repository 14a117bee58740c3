// SPDX-License-Identifier: MIT
// The plugin: nigh is linked into it, and into nothing else of the process.

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <nigh/nigh.h>

#include "hosts/plugin/plugin.h"

static struct nigh *cache;
static struct nigh_space *space;
static plugin_row_fn row_of;

static int load(void *arg, struct nigh_fill *const fills[], size_t n)
{
    char key[32], text[32];
    size_t len;
    const void *bytes = nigh_fill_key(fills[0], &len);
    (void)arg, (void)n;
    snprintf(key, sizeof(key), "%.*s", (int)len, (const char *)bytes);
    int text_len = snprintf(text, sizeof(text), "%ld", row_of(key));
    return nigh_fill_value(fills[0], text, (size_t)text_len);
}

static int open_cache(const char *uri)
{
    struct nigh_options o = NIGH_OPTIONS_INIT;
    o.l1_memory = 8u << 20;
    o.group_slots = 2048;
    o.trust_ms = 1000;
    o.beat_ms = 200;
    o.log_to = NIGH_LOG_TO_NONE;
    o.redis_uri = uri;
    int rc = nigh_open(&o, &cache);
    return rc < 0 ? rc : nigh_space_open(cache, "rows", NULL, load, NULL, NULL, &space);
}

static int is_fresh(void)
{
    return nigh_health(cache) == NIGH_FRESH;
}

static long read_row(const char *key)
{
    struct nigh_value value = NIGH_VALUE_INIT;
    char text[32] = "";
    int rc = nigh_fetch(space, key, strlen(key), NULL, &value);
    if (rc < 0)
        return rc;
    snprintf(text, sizeof(text), "%.*s", (int)value.len, (const char *)value.data);
    nigh_release(&value);
    return strtol(text, NULL, 10);
}

static int tell(const char *key)
{
    int rc = nigh_invalidate(space, key, strlen(key), NULL);
    return rc == NIGH_QUEUED ? 1 : rc;
}

static void close_cache(void)
{
    nigh_close(cache);
    cache = NULL;
}

const struct plugin *plugin_table(plugin_row_fn row);

const struct plugin *plugin_table(plugin_row_fn row)
{
    static const struct plugin table = {open_cache, is_fresh, read_row, tell, close_cache};
    row_of = row;
    return &table;
}
