// SPDX-License-Identifier: MIT
// Any bytes as what a Sentinel says: refused, or a host and a port that can be connected to. The
// first line of the input is what was called out, the rest of it a reply from the wire.

#include <stdlib.h>
#include <string.h>

#include "l2/sentinel.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static void check(bool read, const struct uri_host *host)
{
    if (!read ? host->port != 0 || host->place[0] != 'x'
              : host->port == 0 || !host->place[0] || strpbrk(host->place, " /\n\r\t"))
        abort();
}

static void read_switch(struct bytes message)
{
    struct uri_host host = {.place = "x"}, early = host;
    char *exact = malloc(message.len + 1); /* a byte beyond it is a sanitizer's */
    if (!exact)
        return;
    put_bytes(exact, message);
    bool read = sentinel_read_switch(bytes_of(exact, message.len), "mymaster", &host);
    check(read, &host);
    read = sentinel_read_promotion(bytes_of(exact, message.len), "mymaster", &early);
    check(read, &early);
    free(exact);
}

static void read_replies(struct env *env, struct bytes wire)
{
    struct reader reader;
    struct reply *reply;
    if (reader_init(&reader, env->mem, 1024) == 0 &&
        reader_feed(&reader, wire.data, wire.len) == 0) {
        while (reader_next(&reader, &reply) > 0) {
            struct uri_host host = {.place = "x"};
            check(sentinel_read_address(reply, &host), &host);
            reply_free(reply);
        }
    }
    reader_fini(&reader);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    struct env env;
    const uint8_t *end = len ? memchr(data, '\n', len) : NULL;
    size_t first = end ? (size_t)(end - data) : len;
    read_switch(bytes_of(data, first));
    if (!end || env_init_real(&env, false))
        return 0;
    read_replies(&env, bytes_of(end + 1, len - first - 1));
    env_fini(&env);
    return 0;
}
