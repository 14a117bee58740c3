// SPDX-License-Identifier: MIT
// The scripts of the protocol, as they are, run by the Lua that Redis is built with: redis.call(),
// redis.pcall(), redis.error_reply(), redis.status_reply(), and of `struct` the formats < > I<n>
// i<n> B H L x c<n>. A script is compiled once for all schedules.

#include <lauxlib.h>
#include <lua.h>
#include <lualib.h>

#include "l2/script.h"
#include "sim/judge.h"
#include "sim/server.h"

static lua_State *lua;
static int compiled[SCRIPT_COUNT]; /* references of functions; 0: not compiled */
static struct session *running;

/* ---- replies to Lua ---- */

static const char *line_end(const char *at)
{
    while (at[0] != '\r')
        at++;
    return at;
}

/* One reply as Lua sees it, pushed. Returns what follows it. */
static const char *push_reply(lua_State *l, const char *at)
{
    const char *end = line_end(at);
    long long number = strtoll(at + 1, NULL, 10);
    switch (*at) {
    case ':':
        lua_pushnumber(l, (lua_Number)number);
        return end + 2;
    case '+':
    case '-':
        lua_newtable(l);
        lua_pushlstring(l, at + 1, (size_t)(end - at - 1));
        lua_setfield(l, -2, *at == '+' ? "ok" : "err");
        return end + 2;
    case '$':
        if (number < 0) {
            lua_pushboolean(l, 0);
            return end + 2;
        }
        lua_pushlstring(l, end + 2, (size_t)number);
        return end + 2 + number + 2;
    default:
        lua_newtable(l);
        at = end + 2;
        for (long long i = 1; i <= number; i++) {
            at = push_reply(l, at);
            lua_rawseti(l, -2, (int)i);
        }
        return at;
    }
}

/* Lua's value at the top as a reply; popped. */
static void add_value(lua_State *l, struct buffer *out)
{
    size_t len;
    const char *text;
    switch (lua_type(l, -1)) {
    case LUA_TSTRING:
        text = lua_tolstring(l, -1, &len);
        resp_bulk(out, text, len);
        break;
    case LUA_TNUMBER:
        resp_number(out, (long long)lua_tonumber(l, -1));
        break;
    case LUA_TBOOLEAN:
        if (lua_toboolean(l, -1))
            resp_number(out, 1);
        else
            resp_nil(out);
        break;
    case LUA_TTABLE: {
        static const char *const fields[] = {"err", "ok"};
        for (int i = 0; i < 2; i++) {
            lua_getfield(l, -1, fields[i]);
            if (lua_isstring(l, -1)) {
                buffer_add(out, i ? "+" : "-", 1);
                resp_line(out, lua_tostring(l, -1));
                lua_pop(l, 2);
                return;
            }
            lua_pop(l, 1);
        }
        int count = 0;
        for (;; count++) {
            lua_rawgeti(l, -1, count + 1);
            bool none = lua_isnil(l, -1);
            lua_pop(l, 1);
            if (none)
                break;
        }
        resp_array(out, count);
        for (int i = 1; i <= count; i++) {
            lua_rawgeti(l, -1, i);
            add_value(l, out);
        }
        break;
    }
    default:
        resp_nil(out);
    }
    lua_pop(l, 1);
}

/* ---- redis.* ---- */

#define ARGS_MAX 8000

static int call(lua_State *l, bool raise)
{
    static struct bytes argv[ARGS_MAX];
    uint32_t argc = (uint32_t)lua_gettop(l);
    struct buffer out = {0};
    if (argc == 0 || argc > ARGS_MAX)
        return luaL_error(l, "wrong number of arguments");
    for (uint32_t i = 0; i < argc; i++) {
        size_t len;
        if (lua_type(l, (int)i + 1) == LUA_TNUMBER) { /* Redis prints with %.17g, integers whole */
            char text[40];
            snprintf(text, sizeof(text), "%.17g", lua_tonumber(l, (int)i + 1));
            lua_pushstring(l, text);
            lua_replace(l, (int)i + 1);
        }
        const char *text = lua_tolstring(l, (int)i + 1, &len);
        if (!text)
            return luaL_error(l, "Lua redis lib command arguments must be strings or integers");
        argv[i] = bytes_of(text, len);
    }
    command_run(running, argv, argc, &out);
    buffer_add(&out, "", 1);
    push_reply(l, out.data);
    bool error = out.data[0] == '-';
    buffer_free(&out);
    if (error && raise) {
        lua_getfield(l, -1, "err");
        return lua_error(l);
    }
    return 1;
}

static int redis_call(lua_State *l)
{
    return call(l, true);
}

static int redis_pcall(lua_State *l)
{
    return call(l, false);
}

static int redis_reply(lua_State *l, const char *field)
{
    lua_newtable(l);
    lua_pushvalue(l, 1);
    lua_setfield(l, -2, field);
    return 1;
}

static int redis_error_reply(lua_State *l)
{
    return redis_reply(l, "err");
}

static int redis_status_reply(lua_State *l)
{
    return redis_reply(l, "ok");
}

static int redis_log(lua_State *l)
{
    (void)l;
    return 0;
}

/* ---- struct.* ---- */

struct format {
    const char *at;
    bool big;
    char type;  /* of the next item; 0: none is left */
    size_t size;
};

static bool format_next(struct format *f)
{
    while (*f->at == '<' || *f->at == '>' || *f->at == ' ')
        f->big = *f->at++ == '>';
    f->type = *f->at;
    if (!f->type)
        return false;
    f->at++;
    size_t digits = 0;
    bool any = false;
    while (*f->at >= '0' && *f->at <= '9') {
        digits = 10 * digits + (size_t)(*f->at++ - '0');
        any = true;
    }
    f->size = f->type == 'B' || f->type == 'b' || f->type == 'x' ? 1
              : f->type == 'H' || f->type == 'h'                 ? 2
              : f->type == 'L' || f->type == 'l'                 ? 8
              : any                                              ? digits
                                                                 : 4;
    return true;
}

static int struct_pack(lua_State *l)
{
    struct format f = {.at = luaL_checkstring(l, 1)};
    luaL_Buffer b;
    int arg = 2;
    luaL_buffinit(l, &b);
    while (format_next(&f)) {
        if (f.type == 'x') {
            luaL_addchar(&b, 0);
            continue;
        }
        if (f.type == 'c') {
            size_t len;
            const char *text = luaL_checklstring(l, arg++, &len);
            luaL_addlstring(&b, text, f.size ? f.size : len);
            continue;
        }
        if (!strchr("IiBbHhLl", f.type) || f.size > 8)
            world_fail("simulation", "struct.pack has no format '%c%zu'", f.type, f.size);
        lua_Number number = luaL_checknumber(l, arg++);
        uint64_t n = number < 0 ? (uint64_t)(int64_t)number : (uint64_t)number;
        for (size_t i = 0; i < f.size; i++)
            luaL_addchar(&b, (char)(n >> 8 * (f.big ? f.size - 1 - i : i)));
    }
    luaL_pushresult(&b);
    return 1;
}

static int struct_unpack(lua_State *l)
{
    struct format f = {.at = luaL_checkstring(l, 1)};
    size_t len;
    const char *data = luaL_checklstring(l, 2, &len);
    size_t at = (size_t)luaL_optnumber(l, 3, 1) - 1;
    int count = 0;
    while (format_next(&f)) {
        if (at + f.size > len)
            return luaL_error(l, "data string too short");
        if (f.type == 'c') {
            lua_pushlstring(l, data + at, f.size);
            count++;
        } else if (f.type != 'x') {
            uint64_t n = 0;
            for (size_t i = 0; i < f.size; i++)
                n |= (uint64_t)(uint8_t)data[at + i] << 8 * (f.big ? f.size - 1 - i : i);
            lua_pushnumber(l, (lua_Number)n);
            count++;
        }
        at += f.size;
    }
    lua_pushnumber(l, (lua_Number)(at + 1));
    return count + 1;
}

/* ---- scripts ---- */

static void start(void)
{
    static const luaL_Reg redis[] = {
        {"call", redis_call},
        {"pcall", redis_pcall},
        {"error_reply", redis_error_reply},
        {"status_reply", redis_status_reply},
        {"log", redis_log},
        {NULL, NULL},
    };
    static const luaL_Reg structs[] = {
        {"pack", struct_pack}, {"unpack", struct_unpack}, {NULL, NULL}};
    lua = luaL_newstate();
    luaL_openlibs(lua);
    luaL_register(lua, "redis", redis);
    luaL_register(lua, "struct", structs);
    lua_settop(lua, 0);
}

/* The text of a script, or what a mutant makes of it: NIGH_SIM_LUA_FROM, NIGH_SIM_LUA_TO. */
static struct bytes text_of(enum script_id id)
{
    const char *from = getenv("NIGH_SIM_LUA_FROM"), *to = getenv("NIGH_SIM_LUA_TO");
    struct bytes text = script_table[id].text;
    const char *at = from ? memmem(text.data, text.len, from, strlen(from)) : NULL;
    if (!at)
        return text;
    struct buffer b = {0};
    size_t head = (size_t)(at - (const char *)text.data);
    buffer_add(&b, text.data, head);
    buffer_add(&b, to, strlen(to));
    buffer_add(&b, at + strlen(from), text.len - head - strlen(from));
    return buffer_bytes(&b); /* lives as long as the process */
}

static void push_script(enum script_id id)
{
    if (!lua)
        start();
    if (!compiled[id]) {
        struct bytes text = text_of(id);
        if (luaL_loadbuffer(lua, text.data, text.len, "@script") != 0) {
            fprintf(stderr, "sim: %s\n", lua_tostring(lua, -1));
            abort();
        }
        compiled[id] = luaL_ref(lua, LUA_REGISTRYINDEX);
    }
    lua_rawgeti(lua, LUA_REGISTRYINDEX, compiled[id]);
}

static void set_list(const char *name, const struct bytes *items, uint32_t count)
{
    lua_createtable(lua, (int)count, 0);
    for (uint32_t i = 0; i < count; i++) {
        lua_pushlstring(lua, items[i].data, items[i].len);
        lua_rawseti(lua, -2, (int)i + 1);
    }
    lua_setglobal(lua, name);
}

static int find_script(bool by_digest, struct bytes name)
{
    for (int i = 0; i < SCRIPT_COUNT; i++) {
        const struct script *s = &script_table[i];
        struct bytes own = by_digest ? bytes_of_string(s->sha1) : s->text;
        if (bytes_equal(own, name))
            return i;
    }
    return -1;
}

void script_run(struct session *session, const struct bytes *argv, uint32_t argc,
                struct buffer *out)
{
    struct server *s = session->server;
    bool by_digest = command_is(argv[0], "EVALSHA");
    uint32_t keys = argc > 2 ? (uint32_t)strtoul(argv[2].data, NULL, 10) : 0;
    if (!by_digest && argc > 2 && bytes_equal(argv[1], script_needs)) {
        resp_nil(out); /* as a server that cannot tell what there is */
        return;
    }
    int id = argc > 2 ? find_script(by_digest, argv[1]) : -1;
    if (id < 0 || keys > argc - 3) {
        world_fail("simulation", "a script that is none of the library's");
        resp_line(out, "-ERR unknown script");
        return;
    }
    if (by_digest && !(s->scripts_known >> id & 1)) {
        resp_line(out, "-NOSCRIPT No matching script. Please use EVAL.");
        return;
    }
    s->scripts_known |= 1ull << id;
    struct session inner = *session;
    inner.in_script = true;
    running = &inner;
    push_script((enum script_id)id);
    set_list("KEYS", argv + 3, keys);
    set_list("ARGV", argv + 3 + keys, argc - 3 - keys);
    size_t from = out->len;
    if (lua_pcall(lua, 0, 1, 0) != 0) {
        TRACE(session->node, "script error: %s", lua_tostring(lua, -1));
        world_fail("script", "script %d: %s", id, lua_tostring(lua, -1));
        buffer_add(out, "-ERR ", 5);
        resp_line(out, lua_tostring(lua, -1));
        lua_pop(lua, 1);
    } else {
        add_value(lua, out);
    }
    running = NULL;
    judge_script(session, id, bytes_of(out->data + from, out->len - from));
}
