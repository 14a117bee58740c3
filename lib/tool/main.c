// SPDX-License-Identifier: MIT
/*
 * The program nigh: its commands in one table, from which help and the page nigh(1) are made.
 *
 * Words that begin with -- are the program's, up to a word "--"; all others are the command's, and
 * go to the socket as they are, quoted where they must be. Of NIGH_CONF only what says how
 * Redis is used is taken (by "--redis -" also where it is), and only by commands that talk to it.
 */
#include "tool/tool.h"

#include <glob.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <nigh/nigh.h>

#define TIMEOUT_MS 5000u
#define TIMEOUT_MAX_MS 86400000u

enum whom { SOCKET, SOCKET_OR_REDIS };

struct command {
    const char *name;
    const char *args;
    const char *help;
    size_t min, max; /* words */
    enum whom whom;  /* it asks */
    int (*run)(const struct tool_args *args);
    const char *more;  /* for its --help and the page */
};

#define MANY 1000

/* clang-format off */
static const struct command commands[] = {
    {"top", "", "what goes on now: rates, latencies, memory, trust", 0, 0, SOCKET, top_run,
     "Shows every second what the processes do, until q is typed; with --once, or where the output "
     "is no terminal, one second of it. Several sockets are added up. p99 is of that "
     "second, in the process where it is worst. A low evict age (of the last minute: a tenth of "
     "the evicted were younger) says that l1.memory is too small. Flights are keys being brought "
     "now. While the breaker is open redis is asked only now and then, for it was slow or failed. "
     "A resync turned all that was stored stale."},
    {"health", "", "ok, degraded or doubt, and why", 0, 0, SOCKET, ask_health,
     "The exit status is 0 for ok, 1 for degraded, 2 for doubt (nothing stored is called fresh)."},
    {"stats", "[text|json|prometheus]", "all counters and gauges", 0, 1, SOCKET, ask_stats, NULL},
    {"explain", "SPACE KEY [text|json]", "where a key is, and why it misses", 2, 3, SOCKET,
     ask_explain, NULL},
    {"hot", "[SPACE] [text|json]", "keys that are hit, missed and changed most", 0, 2, SOCKET,
     ask_hot, NULL},
    {"curve", "[text|json]", "what another l1.memory would bring", 0, 1, SOCKET, ask_curve, NULL},
    {"spaces", "", "which spaces there are, and what they hold", 0, 0, SOCKET, ask_spaces, NULL},
    {"options", "[SPACE]", "all options of a process, or of a space", 0, 1, SOCKET, ask_options,
     NULL},
    {"get", "[SPACE] NAME | --redis URI --space S KEY", "one number or option; or a value in Redis",
     1, 2, SOCKET_OR_REDIS, ask_get,
     "An option, counter, gauge or histogram, of the cache or of a space. With --redis it shows "
     "what Redis has of the key: lengths, lifetimes, position, lease. With "
     "--raw it writes the bytes of the value and nothing else."},
    {"set", "[SPACE] NAME VALUE", "change an option that is live", 2, 3, SOCKET, ask_set, NULL},
    {"log", "error|warn|info|debug", "what goes out of the log from now on", 1, 1, SOCKET, ask_log,
     NULL},
    {"invalidate", "--space S KEY... | --tag TAG... | --all", "tell every node of a change", 0,
     MANY, SOCKET_OR_REDIS, ask_invalidate,
     "At a socket, or with --redis without any process. It returns when Redis has accepted the "
     "change, which counts from then in every node (exit status 0), or when --timeout is over "
     "(2). With --soft the values of tags, or all, become stale instead of gone. At a socket the "
     "words key SPACE KEY..., tag TAG..., space SPACE... and all are understood, too."},
    {"watch", "[--redis URI]", "changes by other nodes as they come", 0, 0, SOCKET_OR_REDIS,
     redis_watch,
     "Of the Redis that is named, or that a process at the socket uses, with its certificates "
     "and password files; a password that it has in an option it does not tell: NIGH_CONF has to "
     "have the same redis.uri, or redis.sentinel_password, then. One line for "
     "each thing that is invalidated: when, by which node, what it is. Ends by a "
     "signal, or after --timeout where --once is said. Changes that the channel has lost come with "
     "the next beat, a second later or so."},
    {"send", "COMMAND [WORD...]", "any command of the control socket (help lists them)", 1, MANY,
     SOCKET, ask_send, NULL},
};
/* clang-format on */
#define COMMAND_COUNT (sizeof(commands) / sizeof(commands[0]))

static const struct {
    const char *name, *arg, *help;
} flags[] = {
    {"-S, --socket", "PATH", "a control socket, or a pattern of several; else NIGH_SOCKET"},
    {"--redis", "URI", "talk to Redis alone, not to a process; - : the URI in NIGH_CONF"},
    {"--prefix", "P", "redis.prefix (nigh)"},
    {"--space", "S", "the space of the keys"},
    {"--tag", "", "the words are tags"},
    {"--all", "", "everything"},
    {"--soft", "", "stale, not gone"},
    {"--raw", "", "the value's bytes"},
    {"--escaped", "", "in the words xNN behind a backslash is a byte, as names are shown"},
    {"--once", "", "top: one second of it"},
    {"--timeout", "MS", "how long Redis, or the processes, may take (5000)"},
};
#define FLAG_COUNT (sizeof(flags) / sizeof(flags[0]))

static const char *const statuses[] = {
    "0   done; health: ok",
    "1   refused, as stderr says; health: degraded",
    "2   Redis has not accepted it; health: doubt",
    "3   nobody answers at the socket, or Redis cannot be used",
    "64  the command line is wrong",
};

/* ---- help ---- */

static int help(FILE *out)
{
    fprintf(out, "nigh: asks processes that have a control.socket, or Redis alone\n\n"
                 "usage: nigh COMMAND [FLAGS] [WORD...]     nigh help COMMAND\n\n");
    for (size_t i = 0; i < COMMAND_COUNT; i++)
        fprintf(out, "  %-11s %s\n", commands[i].name, commands[i].help);
    fprintf(out, "\n");
    for (size_t i = 0; i < FLAG_COUNT; i++)
        fprintf(out, "  %-13s %-5s %s\n", flags[i].name, flags[i].arg, flags[i].help);
    fprintf(out, "\nexit status:\n");
    for (size_t i = 0; i < sizeof(statuses) / sizeof(statuses[0]); i++)
        fprintf(out, "  %s\n", statuses[i]);
    return out == stdout ? TOOL_DONE : TOOL_USAGE;
}

/* Breaks lines at 78 columns. */
static void print_folded(FILE *out, const char *text)
{
    size_t column = 0;
    while (*text) {
        size_t len = strcspn(text, " ");
        if (column > 0 && column + 1 + len > 78)
            column = (size_t)!fputc('\n', out) * 0;
        column += len + (size_t)(column > 0 ? fprintf(out, " ") : 0);
        fwrite(text, 1, len, out);
        text += len + (text[len] == ' ');
    }
    fprintf(out, "\n");
}

static int help_of(const struct command *c)
{
    printf("nigh %s%s%s\n\n", c->name, *c->args ? " " : "", c->args);
    print_folded(stdout, c->help);
    if (c->more)
        print_folded(stdout, c->more);
    return TOOL_DONE;
}

/* The page, for cmake/man.cmake. */
static int page(void)
{
    printf(".TH nigh 1\n.SH NAME\nnigh \\- ask processes with a near cache, or their Redis\n"
           ".SH SYNOPSIS\n.B nigh\nCOMMAND [FLAGS] [WORD...]\n.SH COMMANDS\n");
    for (size_t i = 0; i < COMMAND_COUNT; i++)
        printf(".TP\n.B %s %s\n%s.\n%s\n", commands[i].name, commands[i].args, commands[i].help,
               commands[i].more ? commands[i].more : "");
    printf(".SH FLAGS\n");
    for (size_t i = 0; i < FLAG_COUNT; i++)
        printf(".TP\n.B \\%s %s\n%s\n", flags[i].name, flags[i].arg, flags[i].help);
    printf(".SH EXIT STATUS\n");
    for (size_t i = 0; i < sizeof(statuses) / sizeof(statuses[0]); i++)
        printf("%s\n.br\n", statuses[i]);
    printf(".SH ENVIRONMENT\nNIGH_SOCKET: as --socket. NIGH_CONF: for --redis, what it says of "
           "redis (prefix, password file, TLS, Sentinels), coherence.group_slots and space.schema "
           "are taken, and by \"--redis -\" its redis.uri: so a password is in no argument, which "
           "all users can see.\n"
           ".SH SEE ALSO\n.BR nigh (3)\n");
    return TOOL_DONE;
}

/* ---- the command line ---- */

static int wrong(const char *what, const char *word)
{
    fprintf(stderr, "nigh: %s%s%s: nigh --help lists what there is\n", what, *word ? " " : "",
            word);
    return TOOL_USAGE;
}

static glob_t found; /* paths that the patterns stand for: kept until they are looked for anew */

static size_t count_dead(char *const *paths, size_t count)
{
    size_t dead = 0;
    for (size_t i = 0; i < count; i++)
        dead += line_is_dead(paths[i]);
    return dead;
}

/* Finds what a pattern stands for. Of several, files of dead processes are left out, with a note: a
 * name that has {pid} in it is never taken over, so they would be there for ever. */
static void find_sockets(struct tool_args *args, const char *pattern, bool quiet)
{
    size_t before = found.gl_pathc;
    int rc = glob(pattern, GLOB_NOCHECK | GLOB_APPEND * (before > 0), NULL, &found);
    char *const *paths = found.gl_pathv + before;
    size_t count = rc == 0 ? found.gl_pathc - before : 0;
    bool choose = count > 1 && count_dead(paths, count) < count;
    for (size_t i = 0; i < count && args->socket_count < TOOL_SOCKETS_MAX; i++) {
        if (!choose || !line_is_dead(paths[i]))
            args->sockets[args->socket_count++] = paths[i];
        else if (!quiet)
            fprintf(stderr, "nigh: note: %s: its process is no more\n", paths[i]);
    }
}

void tool_find_sockets(struct tool_args *args)
{
    globfree(&found);
    memset(&found, 0, sizeof(found));
    args->socket_count = 0;
    for (size_t i = 0; i < args->pattern_count; i++)
        find_sockets(args, args->patterns[i], true);
}

static int add_sockets(struct tool_args *args, const char *pattern)
{
    if (args->pattern_count == TOOL_SOCKETS_MAX)
        return 0; /* as many sockets there are already */
    args->patterns[args->pattern_count++] = pattern;
    find_sockets(args, pattern, false);
    return 0;
}

static int take_timeout(struct tool_args *args, const char *value)
{
    char *end;
    unsigned long ms = strtoul(value, &end, 10);
    if (*value < '0' || *value > '9' || *end || ms == 0 || ms > TIMEOUT_MAX_MS)
        return wrong("--timeout is in milliseconds, up to 86400000, not", value);
    args->timeout_ms = (unsigned)ms;
    return 0;
}

/* Takes a flag that has a value. Returns 1: it is none of them; 0; or a status. */
static int take_valued(struct tool_args *args, const char *flag, const char *value)
{
    const char **text = strcmp(flag, "--redis") == 0    ? &args->redis
                        : strcmp(flag, "--prefix") == 0 ? &args->prefix
                        : strcmp(flag, "--space") == 0  ? &args->space
                                                        : NULL;
    bool socket = strcmp(flag, "-S") == 0 || strcmp(flag, "--socket") == 0;
    bool timeout = strcmp(flag, "--timeout") == 0;
    if (!text && !socket && !timeout)
        return 1;
    if (!value)
        return wrong("a value is wanted behind", flag);
    if (text)
        *text = value;
    if (socket)
        return add_sockets(args, value);
    return timeout ? take_timeout(args, value) : 0;
}

static bool take_plain(struct tool_args *args, const char *flag)
{
    bool *which = strcmp(flag, "--once") == 0   ? &args->once
                  : strcmp(flag, "--raw") == 0  ? &args->raw
                  : strcmp(flag, "--soft") == 0 ? &args->soft
                  : strcmp(flag, "--tag") == 0  ? &args->tags
                  : strcmp(flag, "--all") == 0  ? &args->all
                  : strcmp(flag, "--escaped") == 0 ? &args->escaped
                                                   : NULL;
    if (which)
        *which = true;
    return which != NULL;
}

/* Takes flags out of the words. 0, or a status. */
static int read_flags(struct tool_args *args, int argc, char **argv)
{
    bool only_words = false;
    args->words = argv;
    for (int i = 0; i < argc; i++) {
        char *word = argv[i];
        if (only_words || word[0] != '-' || word[1] == '\0') {
            args->words[args->count++] = word;
            continue;
        }
        only_words = strcmp(word, "--") == 0;
        if (only_words || take_plain(args, word))
            continue;
        int rc = take_valued(args, word, i + 1 < argc ? argv[i + 1] : NULL);
        if (rc == 1)
            return wrong("there is no flag", word);
        if (rc != 0)
            return rc;
        i++;
    }
    return 0;
}

static const struct command *find(const char *name)
{
    for (size_t i = 0; i < COMMAND_COUNT; i++)
        if (strcmp(name, commands[i].name) == 0)
            return &commands[i];
    return NULL;
}

static int run(const struct command *c, int argc, char **argv)
{
    struct tool_args args = {.timeout_ms = TIMEOUT_MS};
    const char *socket = getenv("NIGH_SOCKET");
    for (int i = 0; i < argc && strcmp(argv[i], "--") != 0; i++)
        if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0)
            return help_of(c);
    int rc = read_flags(&args, argc, argv);
    if (rc != 0)
        return rc;
    if (args.count < c->min || args.count > c->max) {
        fprintf(stderr, "nigh: usage: nigh %s%s%s\n", c->name, *c->args ? " " : "", c->args);
        return TOOL_USAGE;
    }
    if (args.redis && c->whom == SOCKET)
        return wrong("--redis is nothing for the command", c->name);
    if (args.socket_count == 0 && !args.redis && socket)
        add_sockets(&args, socket);
    if (args.socket_count == 0 && !args.redis)
        return wrong("which process? -S SOCKET, or NIGH_SOCKET, says it", "");
    return c->run(&args);
}

static int say_version(void)
{
    printf("nigh %d.%d.%d\n", NIGH_VERSION_MAJOR, NIGH_VERSION_MINOR, NIGH_VERSION_PATCH);
    return TOOL_DONE;
}

int main(int argc, char **argv)
{
    if (argc < 2)
        return help(stderr);
    const char *word = argv[1];
    const struct command *asked = argc > 2 ? find(argv[2]) : NULL;
    if (strcmp(word, "help") == 0 && asked)
        return help_of(asked);
    if (strcmp(word, "--help") == 0 || strcmp(word, "-h") == 0 || strcmp(word, "help") == 0)
        return help(stdout);
    if (strcmp(word, "--man") == 0)
        return page();
    if (strcmp(word, "--version") == 0)
        return say_version();
    if (find(word))
        return run(find(word), argc - 2, argv + 2);
    return word[0] == '-' ? wrong("flags come behind the command, as in: nigh health", word)
                          : wrong("there is no command", word);
}
