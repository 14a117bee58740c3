// SPDX-License-Identifier: MIT
/*
 * The program nigh: its commands and flags in two tables, from which help and the page nigh(1) are
 * made.
 *
 * Words that begin with -- are the program's, up to a word "--", wherever they stand; all others
 * are the command's, and go to the socket as they are, quoted where they must be. A flag that a
 * command has no use for is refused: whoever gave it meant something. Of NIGH_CONF only what says
 * how Redis is used is taken (by "--redis -" also where it is), and only by commands that talk to
 * it.
 */
#include "tool/tool.h"

#include <ctype.h>
#include <errno.h>
#include <glob.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <nigh/nigh.h>

#define TIMEOUT_MS 5000u
#define TIMEOUT_MAX_MS 86400000u
#define HELP_COLUMNS 78

/* Flags, as bits. */
enum {
    SOCKET = 1 << 0,
    REDIS = 1 << 1,
    PREFIX = 1 << 2,
    SPACE = 1 << 3,
    TAG = 1 << 4,
    ALL = 1 << 5,
    SOFT = 1 << 6,
    RAW = 1 << 7,
    ESCAPED = 1 << 8,
    STDIN = 1 << 9,
    ONCE = 1 << 10,
    TIMEOUT = 1 << 11,
};
#define ANY (SOCKET | ESCAPED | TIMEOUT) /* of use to every command */
#define WHAT (SPACE | TAG | ALL | SOFT | STDIN)

struct command {
    const char *name;
    const char *args;
    const char *help;
    size_t min, max;    /* words */
    unsigned at_socket; /* flags that say something there, besides ANY */
    unsigned at_redis;  /* ... and with --redis; 0: it is nothing for the command */
    int (*run)(const struct tool_args *args);
    const char *more;   /* for its --help and the page */
};

#define MANY 1000
#define NO_END ((size_t)-1)

/* clang-format off */
static const struct command commands[] = {
    {"top", "", "what goes on now: rates, latencies, memory, trust", 0, 0, ONCE, 0, top_run,
     "Shows every second what the processes do, until q is typed; with --once, or where the "
     "output is no terminal, one second of it. Several sockets are added up. L1% is the share of "
     "reads that L1 answered, in that second and in the last minute, as spaces has it; stale% and "
     "L2% are of that second, of all reads; so is p99, in the process where it is worst, of "
     "requests to Redis and of loads (stats has the latency of hits, too). Of what was evicted in "
     "the last minute a tenth was younger than the age; what more l1.memory would bring says "
     "curve. Of the misses it says how many were for keys that do not exist, and, in percent of a "
     "sample, why L1 did not have the key: it was new, or is forgotten; that it does not exist "
     "was known until that expired; or it had a value that expired, was evicted or refused, or "
     "changed. Other memory is what was removed but may still be read, or is not stored. While "
     "the breaker is open redis is asked only now and then, for it was slow or failed. Messages "
     "are heard of all nodes: changes, and fills that were waited for. A resync turned all that "
     "was stored stale."},
    {"health", "", "ok, degraded or doubt, and why", 0, 0, 0, 0, ask_health,
     "The exit status is 0 for ok, 1 for degraded, 2 for doubt (nothing stored is called fresh). "
     "Of L1 it says when it is full and evicts at present, and what twice the cap would bring; "
     "that is no fault."},
    {"stats", "[text|json|prometheus]", "all counters and gauges", 0, 1, 0, 0, ask_stats,
     "The JSON of several processes, of any command, is one object after the other, in the order "
     "of their sockets; a scraper of Prometheus asks one process."},
    {"explain", "SPACE KEY [text|json]", "where a key is, and why it misses", 2, 3, 0, 0,
     ask_explain, NULL},
    {"hot", "[SPACE] [text|json]", "keys that are hit, missed and changed most", 0, 2, 0, 0,
     ask_hot, NULL},
    {"curve", "[text|json]", "what another l1.memory would bring", 0, 1, 0, 0, ask_curve, NULL},
    {"spaces", "", "what spaces hold, and what else takes of l1.memory", 0, 0, 0, 0, ask_spaces,
     NULL},
    {"options", "[SPACE]", "all options of a process, or of a space", 0, 1, 0, 0, ask_options,
     NULL},
    {"get", "[SPACE] NAME | --redis URI --space S KEY", "one number or option; or a value in Redis",
     1, 2, 0, PREFIX | SPACE | RAW, ask_get,
     "An option, counter, gauge or histogram, of the cache or of a space. With --redis it shows "
     "what Redis has of the key: lengths, lifetimes, position, lease. With "
     "--raw it writes the bytes of the value and nothing else."},
    {"set", "[SPACE] NAME VALUE", "change an option that is live", 2, 3, 0, 0, ask_set, NULL},
    {"log", "error|warn|info|debug", "what goes out of the log from now on", 1, 1, 0, 0, ask_log,
     "What goes out at present says get log.level."},
    {"invalidate", "--space S KEY... | --tag TAG... | --all", "tell every node of a change", 0,
     NO_END, WHAT, WHAT | PREFIX, ask_invalidate,
     "At a socket, or with --redis without any process. It returns when Redis has accepted the "
     "change, which counts from then in every node (exit status 0), or when --timeout is over "
     "(2), and says how many others heard of it (of the last part, where there are many keys): "
     "nodes, and whoever else listens on the channel, as nigh watch does. "
     "With --redis the status is 1 where nobody did. Which spaces there are is the nodes' own: "
     "of one that has stored nothing in Redis lately it warns, and nodes hear of any. "
     "With --stdin more keys, or tags, come from the standard input, one a line. "
     "With --soft the values of tags, or all, become stale instead of gone. At a socket the "
     "words key SPACE KEY..., tag TAG..., space SPACE... and all are understood, too."},
    {"watch", "[--redis URI]", "changes by all nodes as they come", 0, 0, PREFIX | ONCE,
     PREFIX | ONCE, redis_watch,
     "Of the Redis that is named, or that a process at the socket uses, with its certificates "
     "and password files; a password that it has in an option it does not tell: NIGH_CONF has to "
     "have the same redis.uri, or redis.sentinel_password, then. One line for "
     "each thing that is invalidated: when, by which node, what it is. Ends by a "
     "signal, or after --timeout where --once is said. Changes that the channel has lost come with "
     "the next beat, a fraction of a second later. Under a prefix that no node uses yet it waits "
     "for one, and says how many of its first changes came before it heard of it."},
    {"send", "COMMAND [WORD...]", "any command of the control socket (help lists them)", 1, MANY,
     0, 0, ask_send, NULL},
};
/* clang-format on */
#define COMMAND_COUNT (sizeof(commands) / sizeof(commands[0]))

static const struct flag {
    const char *name, *arg, *help;
    unsigned bit;
} flags[] = {
    {"--socket", "PATH", "a control socket, or a pattern of several; else NIGH_SOCKET", SOCKET},
    {"--redis", "URI", "talk to Redis alone, not to a process; - : the URI in NIGH_CONF", REDIS},
    {"--prefix", "P", "redis.prefix (nigh)", PREFIX},
    {"--space", "S", "the space of the keys", SPACE},
    {"--tag", "", "the words are tags", TAG},
    {"--all", "", "everything", ALL},
    {"--soft", "", "stale, not gone", SOFT},
    {"--raw", "", "the value's bytes", RAW},
    {"--escaped", "", "in the words xNN behind a backslash is a byte, as names are shown", ESCAPED},
    {"--stdin", "", "more keys or tags from the standard input, one a line", STDIN},
    {"--once", "", "top: one second of it; watch: for as long as --timeout says", ONCE},
    {"--timeout", "MS", "how long Redis, or the processes, may take (5000)", TIMEOUT},
};
#define FLAG_COUNT (sizeof(flags) / sizeof(flags[0]))

static const char *const statuses[] = {
    "0   done; health: ok",
    "1   refused, as stderr says; invalidate: nobody heard; health: degraded",
    "2   Redis has not accepted it; health: doubt",
    "3   nobody answers at the socket, or Redis cannot be used",
    "64  the command line is wrong",
};

/* ---- help ---- */

static const char *letter_of(const struct flag *flag)
{
    return flag->bit == SOCKET ? "-S, " : "";
}

static void list(FILE *out, const struct command *c)
{
    fprintf(out, "  %-11s %s\n", c->name, c->help);
}

static int help(FILE *out)
{
    fprintf(out, "nigh: asks processes that have a control.socket, or Redis alone\n\n"
                 "usage: nigh COMMAND [FLAGS] [WORD...]     nigh help COMMAND\n\n");
    for (size_t i = 0; i < COMMAND_COUNT; i++)
        list(out, &commands[i]);
    fprintf(out, "\n");
    for (size_t i = 0; i < FLAG_COUNT; i++)
        fprintf(out, "  %s%-*s %-5s %s\n", letter_of(&flags[i]), flags[i].bit == SOCKET ? 9 : 13,
                flags[i].name, flags[i].arg, flags[i].help);
    fprintf(out, "\nexit status:\n");
    for (size_t i = 0; i < sizeof(statuses) / sizeof(statuses[0]); i++)
        fprintf(out, "  %s\n", statuses[i]);
    return out == stdout ? TOOL_DONE : TOOL_USAGE;
}

/* Shows a text of one long line, as a paragraph in a pipe, too. */
static void print_folded(const char *text)
{
    char *folded = fold(text, HELP_COLUMNS);
    printf("%s\n", folded ? folded : text);
    free(folded);
}

static int help_of(const struct command *c)
{
    printf("nigh %s%s%s\n\n", c->name, *c->args ? " " : "", c->args);
    print_folded(c->help);
    if (c->more)
        print_folded(c->more);
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
    printf(".SH FLAGS\nA value is the next word, or stands behind = in the same.\n");
    for (size_t i = 0; i < FLAG_COUNT; i++)
        printf(".TP\n.B %s\\%s %s\n%s\n", flags[i].bit == SOCKET ? "\\-S, " : "", flags[i].name,
               flags[i].arg, flags[i].help);
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
    for (size_t i = 0; i < count; i++) {
        bool dead = choose && line_is_dead(paths[i]);
        bool full = args->socket_count == TOOL_SOCKETS_MAX;
        if (!quiet && (dead || full))
            fprintf(stderr, "nigh: note: %s%s\n", paths[i],
                    dead ? ": its process is no more" : " and what follows: too many to be asked");
        if (!dead && full)
            return;
        if (!dead)
            args->sockets[args->socket_count++] = paths[i];
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

/* Finds the flag that a word is, or begins with where its value stands behind "=". */
static const struct flag *find_flag(char *word, char **ret_value)
{
    *ret_value = NULL;
    for (size_t i = 0; i < FLAG_COUNT; i++) {
        size_t len = strlen(flags[i].name);
        bool begins = strncmp(word, flags[i].name, len) == 0;
        if (begins && word[len] == '=' && *flags[i].arg)
            *ret_value = word + len + 1;
        if (begins && (*ret_value || word[len] == '\0'))
            return &flags[i];
    }
    return strcmp(word, "-S") == 0 ? &flags[0] : NULL;
}

/* Whether a word is the program's, as far as one can see: "-" alone is the command's, and so are
 * numbers. */
static bool is_flag(const char *word)
{
    return word[0] == '-' && word[1] != '\0' && !isdigit((unsigned char)word[1]);
}

/* Takes a URI, and its login out of the program's words, which all users may see: from now on they
 * do not. */
static const char *take_uri(char *word)
{
    const char *uri = strdup(word);
    char *login = strstr(word, "://");
    const char *at = login ? strrchr(login, '@') : NULL;
    if (uri && at)
        memset(login + 3, '*', (size_t)(at - login - 3));
    return uri ? uri : word;
}

/* Takes a flag, and its value if it has one. 0, or a status. */
static int take(struct tool_args *args, const struct flag *flag, char *value)
{
    switch (flag->bit) {
    case SOCKET: return add_sockets(args, value);
    case REDIS: args->redis = take_uri(value); break;
    case PREFIX: args->prefix = value; break;
    case SPACE: args->space = value; break;
    case TAG: args->tags = true; break;
    case ALL: args->all = true; break;
    case SOFT: args->soft = true; break;
    case RAW: args->raw = true; break;
    case ESCAPED: args->escaped = true; break;
    case ONCE: args->once = true; break;
    case TIMEOUT: return take_timeout(args, value);
    default: break;
    }
    return 0;
}

/* "" would name no Redis, so that nothing but this program's own L1 is asked, and told. */
static int refuse_empty(const struct flag *flag)
{
    fprintf(stderr, "nigh: the value of %s is empty: a variable that is not set?\n", flag->name);
    return TOOL_USAGE;
}

/* Takes flags out of the words. 0, or a status. */
static int read_flags(struct tool_args *args, int argc, char **argv, unsigned *ret_given)
{
    bool only_words = false;
    args->words = argv;
    for (int i = 0; i < argc; i++) {
        char *word = argv[i];
        char *value;
        const struct flag *flag = find_flag(word, &value);
        if (only_words || !is_flag(word)) {
            args->words[args->count++] = word;
            continue;
        }
        only_words = strcmp(word, "--") == 0;
        if (only_words)
            continue;
        if (!flag)
            return wrong("there is no flag", word);
        if (*flag->arg && !value && !(value = argv[++i])) /* NULL behind the last */
            return wrong("a value is wanted behind", word);
        if (value && !*value)
            return refuse_empty(flag);
        int rc = take(args, flag, value);
        if (rc != 0)
            return rc;
        *ret_given |= flag->bit;
    }
    return 0;
}

/* Refuses what the command, or whom it asks, has no use for. 0, or a status. */
static int judge_flags(const struct command *c, unsigned given)
{
    unsigned useful = ANY | (given & REDIS ? c->at_redis | REDIS : c->at_socket);
    if (given & REDIS && !c->at_redis)
        return wrong("--redis is nothing for the command", c->name);
    for (size_t i = 0; i < FLAG_COUNT; i++) {
        if (!(given & flags[i].bit & ~useful))
            continue;
        bool elsewhere = flags[i].bit & c->at_redis;
        fprintf(stderr, "nigh: %s is nothing for the command %s%s: nigh help %s\n", flags[i].name,
                c->name, elsewhere ? " without --redis" : "", c->name);
        return TOOL_USAGE;
    }
    return 0;
}

/* ---- more words ---- */

/* Adds a line of the standard input, without its end, to the words. */
static bool add_word(struct tool_args *args, const char *line, size_t len)
{
    if ((args->count & (args->count + 1)) == 0) { /* 0, 1, 3, 7: room for twice as many */
        char **words = realloc(args->words, 2 * (args->count + 1) * sizeof(*words));
        if (!words)
            return false;
        args->words = words;
    }
    args->words[args->count] = strndup(line, len);
    return args->words[args->count++] != NULL;
}

/* Reads the standard input to its end. They are kept until the program ends. 0, or a status. */
static int read_words(struct tool_args *args)
{
    struct tool_args all = {.words = NULL};
    char *line = NULL;
    size_t size = 0;
    bool right = true, zero = false;
    for (size_t i = 0; right && i < args->count; i++)
        right = add_word(&all, args->words[i], strlen(args->words[i]));
    for (ssize_t len; right && (len = getline(&line, &size, stdin)) > 0;) {
        len -= line[len - 1] == '\n';
        zero = memchr(line, '\0', (size_t)len); /* what stands before it is another key */
        right = !zero && (len == 0 || add_word(&all, line, (size_t)len));
    }
    right = right && !ferror(stdin);
    if (!right)
        fprintf(stderr, "nigh: standard input: %s\n",
                zero ? "it has a zero byte: with --escaped \\x00 stands for one" : strerror(errno));
    free(line);
    args->words = all.words;
    args->count = all.count;
    return right ? 0 : TOOL_REFUSED;
}

/* ---- running ---- */

static const struct command *find(const char *name)
{
    for (size_t i = 0; i < COMMAND_COUNT; i++)
        if (strcmp(name, commands[i].name) == 0)
            return &commands[i];
    return NULL;
}

/* Whether a word is among those of a command that stand for themselves: json in "[text|json]". */
static bool takes(const struct command *c, const char *word)
{
    static const char between[] = "[]| ";
    for (const char *at = c->args + strspn(c->args, between); *at; at += strspn(at, between)) {
        size_t len = strcspn(at, between);
        if (len == strlen(word) && strncmp(at, word, len) == 0)
            return true;
        at += len;
    }
    return false;
}

/* Says which words the command takes; of one that it does not, which commands do. */
static int refuse_words(const struct command *c, const struct tool_args *args)
{
    const char *word = args->count > c->max ? args->words[c->max] : "";
    bool any = false;
    for (size_t i = 0; *word && i < COMMAND_COUNT; i++)
        any = any || takes(&commands[i], word);
    if (args->count < c->min)
        fprintf(stderr, "nigh: a word is missing: nigh %s %s", c->name, c->args);
    else if (c->max == 0)
        fprintf(stderr, "nigh: %s takes no words", c->name);
    else
        fprintf(stderr, "nigh: too many words: nigh %s %s", c->name, c->args);
    if (any)
        fprintf(stderr, "; %s is one for:\n", word);
    else
        fprintf(stderr, " (nigh help %s)\n", c->name);
    for (size_t i = 0; any && i < COMMAND_COUNT; i++)
        if (takes(&commands[i], word))
            list(stderr, &commands[i]);
    return TOOL_USAGE;
}

/* Finds out what is meant, and does it. */
static int run(const struct command *c, int argc, char **argv)
{
    static struct tool_args args = {.timeout_ms = TIMEOUT_MS}; /* it, and what it names, are kept */
    const char *socket = getenv("NIGH_SOCKET");
    unsigned given = 0;
    for (int i = 0; i < argc && strcmp(argv[i], "--") != 0; i++)
        if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0)
            return help_of(c);
    int rc = read_flags(&args, argc, argv, &given);
    if (rc == 0)
        rc = judge_flags(c, given);
    if (rc == 0 && given & STDIN)
        rc = read_words(&args);
    if (rc != 0)
        return rc;
    if (args.count < c->min || args.count > c->max)
        return refuse_words(c, &args);
    if (given & STDIN && args.count == 0)
        return TOOL_DONE; /* nothing has changed */
    if (args.socket_count == 0 && !args.redis && socket && *socket)
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

/* Puts the command before the flags that stand before it. */
static void move_command(int argc, char **argv)
{
    int i = 1;
    while (i < argc && is_flag(argv[i])) {
        char *value;
        const struct flag *flag = find_flag(argv[i], &value);
        i += flag && *flag->arg && !value ? 2 : 1;
    }
    if (i >= argc)
        return;
    char *command = argv[i];
    memmove(argv + 2, argv + 1, (size_t)(i - 1) * sizeof(*argv));
    argv[1] = command;
}

/* Lists what a word that is no command may have meant; if nothing, all that there are. */
static int refuse(const char *word)
{
    bool any = false;
    for (size_t i = 0; i < COMMAND_COUNT; i++)
        any = any || near_to(word, commands[i].name, commands[i].help);
    fprintf(stderr, "nigh: there is no command %s; %s:\n", word,
            any ? "did you mean" : "there are");
    for (size_t i = 0; i < COMMAND_COUNT; i++)
        if (!any || near_to(word, commands[i].name, commands[i].help))
            list(stderr, &commands[i]);
    return TOOL_USAGE;
}

static int run_words(int argc, char **argv)
{
    move_command(argc, argv);
    const char *word = argv[1];
    const struct command *asked = argc > 2 ? find(argv[2]) : NULL;
    if (strcmp(word, "help") == 0 && argc > 2 && !is_flag(argv[2]))
        return asked ? help_of(asked) : refuse(argv[2]);
    if (strcmp(word, "--help") == 0 || strcmp(word, "-h") == 0 || strcmp(word, "help") == 0)
        return help(stdout);
    if (strcmp(word, "--man") == 0)
        return page();
    if (strcmp(word, "--version") == 0)
        return say_version();
    if (find(word))
        return run(find(word), argc - 2, argv + 2);
    return is_flag(word) ? wrong("which command? Nothing but flags was given:", word)
                         : refuse(word);
}

/* Says that not all could be written. A disk that was full may have room again by now. */
static int say_lost(int status, const char *why)
{
    fprintf(stderr, "nigh: what was to be written is lost%s%s\n", *why ? ": " : "", why);
    return status == TOOL_DONE ? TOOL_REFUSED : status;
}

int main(int argc, char **argv)
{
    streams_wait();
    if (argc < 2)
        return help(stderr);
    int status = run_words(argc, argv);
    const char *why = fflush(stdout) == 0 ? "" : strerror(errno);
    return *why || ferror(stdout) ? say_lost(status, why) : status;
}
