// SPDX-License-Identifier: MIT
// INFO: its lines, and what follows from them.

#include "l2/info.h"

/* Returns the value of a line "name:value", up to the end of the line. NULL data: there is none. */
static struct bytes field(struct bytes info, const char *name)
{
    size_t name_len = strlen(name);
    const char *at = info.data, *end = at + info.len;
    while (at < end) {
        const char *stop = memchr(at, '\r', (size_t)(end - at));
        size_t len = (size_t)((stop ? stop : end) - at);
        if (len > name_len && memcmp(at, name, name_len) == 0 && at[name_len] == ':')
            return bytes_of(at + name_len + 1, len - name_len - 1);
        at += len + 2; /* \r\n */
    }
    return bytes_of(NULL, 0);
}

static bool field_is(struct bytes info, const char *name, const char *value)
{
    return bytes_equal(field(info, name), bytes_of_string(value));
}

const char info_cluster_node[] = "the server is a node of a Redis Cluster, which nigh does not "
                                 "use: it wants one server (cluster-enabled no)";

const char *info_judge(struct bytes info, struct bytes *ret_replid)
{
    struct bytes replid = field(info, "master_replid");
    if (field_is(info, "cluster_enabled", "1"))
        return info_cluster_node;
    if (!field(info, "role").data)
        return "its INFO has no role: that is no Redis, or a proxy";
    if (!field_is(info, "role", "master"))
        return "the server is not a master";
    if (replid.len != REPLID_BYTES)
        return "its INFO has no master_replid, by which nigh would know it from another server";
    *ret_replid = replid;
    return NULL;
}

static void take_number(struct bytes info, const char *name, uint64_t *number)
{
    struct bytes value = field(info, name);
    const char *digits = value.data;
    uint64_t n = 0;
    if (value.len == 0 || value.len > 19)
        return;
    for (size_t i = 0; i < value.len; i++) {
        if (digits[i] < '0' || digits[i] > '9')
            return;
        n = 10 * n + (uint64_t)(digits[i] - '0');
    }
    *number = n;
}

void info_usage(struct bytes info, struct l2_usage *usage)
{
    take_number(info, "used_memory", &usage->memory_bytes);
    take_number(info, "maxmemory", &usage->cap_bytes);
    take_number(info, "evicted_keys", &usage->evicted);
}

bool info_evicts_all(struct bytes policy)
{
    return policy.len > 7 && memcmp(policy.data, "allkeys", 7) == 0;
}

/* Advises against policies that lose more than values when memory is full, or stop everything: all
 * but volatile-*. */
static const char *advice_on_memory(struct bytes info, struct bytes policy)
{
    bool bounded = field(info, "maxmemory").len > 0 && !field_is(info, "maxmemory", "0");
    if (bytes_equal(policy, bytes_of("noeviction", 10)) && bounded)
        return "with maxmemory-policy noeviction a full server takes no more values: volatile-lru "
               "makes room";
    if (info_evicts_all(policy))
        return "its maxmemory-policy allkeys-* evicts not only values but the order of changes, "
               "and then all values turn stale: volatile-lru does not";
    return NULL;
}

/* Copies a word that goes into logs and reports of the host's: nothing but ASCII. */
static void copy_word(char *text, size_t size, struct bytes word)
{
    const char *from = word.data;
    size_t len = u64_min(word.len, size - 1);
    for (size_t i = 0; i < len; i++)
        text[i] = from[i] > ' ' && from[i] <= '~' ? from[i] : '?';
    text[len] = '\0';
}

void info_memory(struct bytes info, struct l2_server *server)
{
    struct bytes policy = field(info, "maxmemory_policy");
    info_usage(info, &server->usage);
    if (!policy.data)
        return;
    copy_word(server->evicts, sizeof(server->evicts), policy);
    server->evicts_all = info_evicts_all(policy);
    server->advice[ADVICE_ON_MEMORY] = advice_on_memory(info, policy);
}

/* Advises to stop writing when it is alone. INFO has the line only where min-replicas-to-write is
 * not 0. */
const char *info_advice_on_replicas(struct bytes info)
{
    if (field(info, "min_slaves_good_slaves").data)
        return NULL;
    return "its min-replicas-to-write is 0: cut off from its Sentinels it takes changes that its "
           "successor never hears of, and nodes that are cut off with it call values fresh";
}
