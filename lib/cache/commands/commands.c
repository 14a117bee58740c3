// SPDX-License-Identifier: MIT
/*
 * The commands of the control socket: one table, from which `help` is made, too.
 *
 * A command does what a public function does, and shows what that gives back; so whatever may be
 * said of the function (that it blocks, that other threads may call meanwhile) holds here. They run
 * one after the other, on nigh-control or in a tick, and none of them takes longer than the
 * deadline of a request to Redis.
 *
 * Whoever may connect may do all of this: the file of the socket is its owner's. What changes
 * something is said in the log, with whose it was.
 */
#include "cache/commands/commands.h"

#include "cache/caller.h"
#include "cache/commands/command.h"

#define HELP_COLUMN 36
#define NOTED_WORDS 4u /* of a command in the log, each cut at so many bytes */
#define NOTED_BYTES 40u
#define NAMES_BYTES 256u /* of all commands */

struct row {
    const char *name;
    const char *args;
    const char *help;
    uint32_t min, max; /* words behind the name */
    bool changes;      /* something: the log has a line about it */
    void (*run)(struct command *c);
};

/* ---- the table ---- */

static void run_help(struct command *c);

/* clang-format off */
static const struct row table[] = {
    {"help", "", "this list", 0, 0, false, run_help},
    {"version", "", "of the library; process, node, host", 0, 0, false, command_version},
    {"health", "", "ok, degraded or doubt, and why", 0, 0, false, command_health},
    {"stats", "[text|json|prometheus]", "all counters and gauges", 0, 1, false, command_stats},
    {"explain", "SPACE KEY [text|json]", "where a key is, and why it misses", 2, 3, false,
     command_explain},
    {"hot", "[SPACE] [text|json]", "keys that are hit, missed and changed most", 0, 2, false,
     command_hot},
    {"curve", "[text|json]", "what another l1.memory would bring", 0, 1, false, command_curve},
    {"spaces", "", "which there are, and what they hold", 0, 0, false, command_spaces},
    {"options", "[SPACE]", "all options as they are now, or a space's", 0, 1, false,
     command_options},
    {"get", "[SPACE] NAME", "an option, counter, gauge, histogram", 1, 2, false, command_get},
    {"set", "[SPACE] NAME VALUE", "change an option that is live", 2, 3, true, command_set},
    {"log", "error|warn|info|debug", "set log.level", 1, 1, true, command_log},
    {"invalidate", "key SPACE KEY...", "tell every node that keys have changed", 1,
     CONTROL_WORDS_MAX - 1, true, command_invalidate},
};
/* clang-format on */

static void help(struct control_reply *r, const char *name, const char *args, const char *text)
{
    int at = (int)(strlen(name) + strlen(args)) + (*args != '\0');
    control_print(r, "%s%s%s%*s %s\n", name, *args ? " " : "", args,
                  at < HELP_COLUMN ? HELP_COLUMN - at : 0, "", text);
}

static void run_help(struct command *c)
{
    for (size_t i = 0; i < ARRAY_COUNT(table); i++)
        help(c->reply, table[i].name, table[i].args, table[i].help);
    help(c->reply, "invalidate [soft] tag TAG...", "", "the same of tags; soft: stale, not gone");
    help(c->reply, "invalidate [soft] space SPACE...", "", "... of spaces");
    help(c->reply, "invalidate [soft] all", "", "... of everything");
    help(c->reply, "prompt", "", "more than one line: stay until quit");
    control_print(c->reply, "Blanks part words, unless they are \"between quotes\". \\xNN is a "
                            "byte; behind a\n"
                            "backslash, a backslash, a quote and a blank are that.\n");
}

static const struct row *find(struct bytes name)
{
    for (size_t i = 0; i < ARRAY_COUNT(table); i++)
        if (command_is_word(name, table[i].name))
            return &table[i];
    return NULL;
}

/* Says which commands a word that is none may have meant; if nothing, which there are. */
static void refuse(struct control_reply *reply, struct bytes word)
{
    char said[4 * NOTED_BYTES + 1] = "", names[NAMES_BYTES] = "";
    struct text shown = text_into(said, sizeof(said));
    struct command_meant meant = {word.data, text_into(names, sizeof(names))};
    text_add_name(&shown, bytes_of(word.data, u64_min(word.len, NOTED_BYTES)));
    for (size_t i = 0; i < ARRAY_COUNT(table); i++)
        command_meant_add(&meant, table[i].name, table[i].help);
    bool any = meant.names.needed > 0;
    for (size_t i = 0; !any && i < ARRAY_COUNT(table); i++)
        text_add(&meant.names, "%s%s", i ? ", " : "", table[i].name);
    control_error(reply, "no such command: %s; %s: %s (help says what they do)", said,
                  any ? "did you mean" : "there are", names);
}

/* Says which words a command takes; of one that it does not, which commands do. */
static void refuse_words(const struct command *c, const struct row *row)
{
    char names[NAMES_BYTES] = "", said[NAMES_BYTES] = "";
    struct bytes word = c->count > row->max ? c->words[row->max] : bytes_of_string("");
    struct command_meant meant = {word.data, text_into(names, sizeof(names))};
    struct text w = text_into(said, sizeof(said));
    for (size_t i = 0; i < ARRAY_COUNT(table); i++)
        command_takes_add(&meant, table[i].name, table[i].args);
    if (c->count < row->min)
        text_add(&w, "a word is missing: %s %s", row->name, row->args);
    else if (row->max == 0)
        text_add(&w, "%s takes no words", row->name);
    else
        text_add(&w, "too many words: %s %s", row->name, row->args);
    if (meant.names.needed)
        text_add(&w, "; %s is one for: %s", meant.word, names);
    control_error(c->reply, "%s", said);
}

/* Whether more was changed than what keys or tags name: all, a space, an option. */
static bool is_broad(const struct control_request *q)
{
    uint32_t soft = q->count > 2 && command_is_word(q->words[1], "soft");
    struct bytes kind = q->words[1 + soft];
    bool narrow = command_is_word(kind, "key") || command_is_word(kind, "tag");
    return !narrow || !command_is_word(q->words[0], "invalidate");
}

/* Says in the log what was changed: each time, for the next change is another one. A broad one is
 * rare, and news to whoever runs the process, so it goes out by default. */
static void note(struct nigh *cache, const struct row *row, const struct control_request *q,
                 const struct control_reply *reply)
{
    struct log_site always = {0};
    char words[NOTED_WORDS * (4 * NOTED_BYTES + 1) + 1] = "";
    struct text w = text_into(words, sizeof(words));
    if (!row->changes || reply->is_error)
        return;
    for (uint32_t i = 0; i < u64_min(q->count, NOTED_WORDS); i++) {
        text_add(&w, " ");
        text_add_name(&w, bytes_of(q->words[i].data, u64_min(q->words[i].len, NOTED_BYTES)));
    }
    log_write(cache->env.log, is_broad(q) ? NIGH_LOG_WARN : NIGH_LOG_INFO, &always,
              "control.socket:%s%s by user %u, process %d", words,
              q->count > NOTED_WORDS ? " ..." : "", (unsigned)q->uid, (int)q->pid);
}

/* control_host.answer */
static void answer(void *arg, const struct control_request *q, struct control_reply *reply)
{
    struct commands *commands = arg;
    struct command c = {commands, commands->cache, q->words + 1, q->count - 1, reply};
    const struct row *row = find(q->words[0]);
    struct caller caller;
    caller_enter(&caller);
    if (!row)
        refuse(reply, q->words[0]);
    else if (c.count < row->min || c.count > row->max)
        refuse_words(&c, row);
    else
        row->run(&c);
    if (row)
        note(commands->cache, row, q, reply);
    caller_leave(&caller);
}

/* ---- life ---- */

/* Adds a string to what is kept. Returns where it will be; with no room for it it is counted. */
static const char *keep(struct text *w, const char *text)
{
    const char *at = w->at;
    text_add(w, "%s%c", text, '\0');
    return at;
}

/* Keeps a URI, but where it has a password no user and no password of it. */
static const char *keep_uri(struct text *w, const char *uri)
{
    const char *user = strstr(uri, "://");
    const char *at = user ? strrchr(user, '@') : NULL;
    const char *start = w->at;
    if (!at || !memchr(user + 3, ':', (size_t)(at - user - 3)))
        return keep(w, uri);
    text_add(w, "%.*s...", (int)(user + 3 - uri), uri);
    keep(w, at);
    return start;
}

/* Keeps what is shown, which is no password. */
static void keep_strings(struct commands *c, const struct nigh_options *o, struct text *w)
{
    const char **string;
    c->opened = *o;
    for (size_t i = 0; (string = options_string(&c->opened, i)); i++) {
        if (!*string)
            continue;
        if (string == &c->opened.redis_sentinel_password)
            *string = "...";
        else if (string == &c->opened.redis_uri)
            *string = keep_uri(w, *string);
        else
            *string = keep(w, *string);
    }
}

static bool keep_options(struct commands *c, const struct nigh_options *o)
{
    struct text counted = text_into(NULL, 0);
    keep_strings(c, o, &counted);
    c->strings_size = counted.needed + 1;
    c->strings = mem_alloc(c->cache->env.mem, NULL, c->strings_size);
    if (!c->strings)
        return false;
    struct text w = text_into(c->strings, c->strings_size);
    keep_strings(c, o, &w);
    return true;
}

static void destroy(struct commands *c)
{
    struct mem *mem = c->cache->env.mem;
    control_close(c->control);
    mem_free(mem, NULL, c->strings, c->strings_size);
    mem_free(mem, NULL, c, sizeof(*c));
}

int commands_open(struct nigh *cache, const struct nigh_options *o)
{
    if (!o->control_socket || !o->control_socket[0])
        return 0;
    struct commands *c = mem_alloc_zero(cache->env.mem, sizeof(*c));
    if (!c)
        return NIGH_ENOMEM;
    struct control_config config = {
        .env = &cache->env, .host = {answer, c}, .path = o->control_socket};
    c->cache = cache;
    int rc = keep_options(c, o) ? control_open(&config, &c->control) : NIGH_ENOMEM;
    if (rc == 0 && cache->drive)
        rc = drive_watch(cache, c->control);
    if (rc != 0) {
        destroy(c);
        return rc;
    }
    cache->commands = c;
    return 0;
}

void commands_close(struct nigh *cache)
{
    struct commands *c = cache->commands;
    if (!c)
        return;
    cache->commands = NULL;
    if (cache->drive)
        drive_watch(cache, NULL);
    destroy(c);
}
