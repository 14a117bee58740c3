// SPDX-License-Identifier: MIT
// Questions to the scripts, on a real server.

#include "worlds/l2_script.h"

struct l2_answer *script_get(struct client *client, const char *name)
{
    struct l2_key key = client_key(name);
    return CLIENT_ASK(client, l2_get, &key);
}

struct l2_answer *script_lease(struct client *client, const char *name, uint64_t token,
                               uint64_t rejected)
{
    struct l2_key key = client_key(name);
    const struct l2_lease l = {.token = token, .rejected = rejected, .lease_ms = 5000};
    return CLIENT_ASK(client, l2_lease, &key, &l);
}

struct l2_answer *script_fill(struct client *client, const char *name, uint64_t token,
                              uint64_t version, uint64_t connection)
{
    struct l2_key key = client_key(name);
    struct bytes envelope = client_envelope(token, version, "filled");
    const struct l2_fill f = {
        .token = token,
        .connection = connection,
        .version = version,
        .hard_ms = 60000,
        .envelope = envelope,
        .frame = script_frame,
    };
    struct l2_answer *a = CLIENT_ASK(client, l2_fill, &key, &f);
    client_envelope_free(envelope);
    return a;
}

struct l2_answer *script_lease_many(struct client *client, const char *const *names, uint32_t count,
                                    uint64_t token)
{
    struct l2_lease_of list[L2_MANY_MAX];
    for (uint32_t i = 0; i < count; i++)
        list[i] = (struct l2_lease_of){.key = bytes_of_string(names[i]), .token = token + i};
    struct l2_key key = client_key("");
    const struct l2_leases leases = {key.space, key.schema, 5000, list, count};
    return CLIENT_ASK(client, l2_lease_many, &leases);
}

struct l2_answer *script_fill_many(struct client *client, const char *const *names, uint32_t count,
                                   uint64_t token)
{
    struct l2_fill_of list[L2_MANY_MAX];
    for (uint32_t i = 0; i < count; i++)
        list[i] = (struct l2_fill_of){
            .key = bytes_of_string(names[i]),
            .hard_ms = 60000,
            .envelope = client_envelope(token + i, 0, "filled"),
        };
    struct l2_key key = client_key("");
    const struct l2_fills fills = {key.space, key.schema, 1, list, count, script_frame, {0}};
    struct l2_answer *a = CLIENT_ASK(client, l2_fill_many, &fills);
    for (uint32_t i = 0; i < count; i++)
        client_envelope_free(list[i].envelope);
    return a;
}

enum l2_verdict script_lease_at(struct l2_answer *a, uint32_t i)
{
    struct bytes value;
    uint32_t held_ms;
    return l2_lease_at(a, i, &value, &held_ms);
}

struct l2_answer *script_change_key(struct client *client, const char *name,
                                    enum l2_change_mode mode, uint64_t version, uint64_t token)
{
    struct bytes envelope = client_envelope(777, version, "written");
    const struct l2_change_key key = {
        .key = client_key(name),
        .mode = mode,
        .version = version,
        .token = token,
        .envelope = mode == L2_DELETE ? bytes_of(NULL, 0) : envelope,
        .hard_ms = 60000,
    };
    const struct l2_change change = {
        .keys = &key, .key_count = 1, .nonce = 42, .schemas = 42, .frame = script_frame};
    struct l2_answer *a = CLIENT_ASK(client, l2_change, &change);
    client_envelope_free(envelope);
    return a;
}

int script_verdict(struct l2_answer *a)
{
    int verdict = a->status ? a->status : (int)a->verdict;
    l2_answer_free(a);
    return verdict;
}

uint64_t script_le64_at(const struct redis *r, const char *key, unsigned at)
{
    static const char text[] =
        "return struct.unpack('<I8', redis.call('GETRANGE', KEYS[1], ARGV[1], ARGV[1] + 7))";
    return (uint64_t)redis_integer(r, "EVAL %s 1 %s %u", text, key, at);
}

void script_put_le64_at(const struct redis *r, const char *key, unsigned at, uint64_t value)
{
    uint8_t le[8];
    put_le64(le, value);
    free(redis_command(r, "SETRANGE %s %u %b", key, at, le, sizeof(le)));
}
