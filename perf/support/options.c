// SPDX-License-Identifier: MIT
/*
 * Options on top of getopt_long(), which tells the number of a row.
 */
#include "support/options.h"

#include <getopt.h>
#include <stdio.h>
#include <string.h>

#include "support/fail.h"

#ifdef NDEBUG
#define IS_DEBUG_BUILD false
#else
#define IS_DEBUG_BUILD true
#endif

#define HELP_WIDTH  79
#define HELP_COLUMN 22 /* of what an option is for; longer ones have a line of their own */
#define HELP_ROW    6  /* of a row of a list, which is long */

/* What all commands have; numbered on from OPTIONS_MAX. */
enum { COMMON_JSON, COMMON_HTML, COMMON_HELP, COMMON_CACHE, COMMON };
static const struct option_row common[COMMON] = {
    [COMMON_JSON] = {"json", "FILE", "write the figures as JSON, too", NULL},
    [COMMON_HTML] = {"html", "FILE", "and as a page of pictures (perf/run report)", NULL},
    [COMMON_HELP] = {"help", NULL, "this text", NULL},
    [COMMON_CACHE] = {"cache", "FOLDER", NULL, NULL}, /* perf/run says it to every command */
};

static bool is_common_of(const struct command_line *c, int i)
{
    return c->measures || i == COMMON_HELP || i == COMMON_CACHE;
}

/* Is the word among those of the list? */
static bool is_listed(const char *list, const char *word)
{
    size_t len = strlen(word);
    for (const char *at = list; (at = strstr(at, word)); at += len)
        if ((at == list || at[-1] == ' ') && (at[len] == ' ' || at[len] == '\0'))
            return true;
    return false;
}

static bool is_option_of(const struct option_row *row, const char *command)
{
    return !row->commands || is_listed(row->commands, command);
}

/* ---- help ---- */

/* Begins a line; returns its column. */
static int begin_line(int column)
{
    printf("\n%*s", column, "");
    return column;
}

/* Prints a line's words, on further lines what the screen has no room for. Returns the column. */
static int print_words(const char *line, size_t len, int begin, int column)
{
    for (size_t i = 0, word; i < len; i += word + 1) {
        word = strcspn(line + i, " \n");
        if (column > begin && column + 1 + (int)word > HELP_WIDTH)
            column = begin_line(begin);
        column += printf("%s%.*s", column > begin ? " " : "", (int)word, line + i);
    }
    return column;
}

/* Prints a text from a column on; its lines are one paragraph, but for rows of a list, which have
 * blanks side by side. */
static void print_text(const char *text, int begin)
{
    for (int column = begin; *text; text += strspn(text, "\n")) {
        size_t len = strcspn(text, "\n");
        const char *blanks = strstr(text, "  ");
        if (blanks && blanks < text + len)
            column = begin_line(HELP_ROW) + printf("%.*s", (int)len, text);
        else
            column = print_words(text, len, begin, column);
        text += len;
    }
    printf("\n");
}

static void print_option(const struct option_row *row)
{
    int at = printf("  --%s%s%s", row->name, row->value ? " " : "", row->value ? row->value : "");
    if (at + 2 > HELP_COLUMN)
        begin_line(HELP_COLUMN);
    else
        printf("%*s", HELP_COLUMN - at, "");
    print_text(row->help, HELP_COLUMN);
}

static void print_help(const struct command_line *c, const char *command)
{
    printf("Usage: ");
    for (const char *line = c->usage; *line; line += strspn(line, "\n")) {
        int len = (int)strcspn(line, "\n");
        printf("%s%.*s\n", line == c->usage ? "" : "       ", len, line);
        line += len;
    }
    printf("\n");
    print_text(c->about, 0);
    printf("\n");
    for (const struct option_row *row = c->options; row->name; row++)
        if (row->help && is_option_of(row, command))
            print_option(row);
    for (int i = 0; i < COMMON; i++)
        if (common[i].help && is_common_of(c, i))
            print_option(&common[i]);
    printf("\n%s", c->status);
}

/* ---- reading ---- */

static void add(struct option *to, const struct option_row *row, int number)
{
    *to = (struct option){row->name, row->value ? required_argument : no_argument, NULL, number};
}

/* An own option goes before a common one of the same name. */
static unsigned make_table(const struct command_line *c, const char *command, struct option *ret)
{
    unsigned count = 0, own = 0;
    for (; c->options[own].name; own++)
        if (is_option_of(&c->options[own], command))
            add(&ret[count++], &c->options[own], (int)own);
    for (int i = 0; i < COMMON; i++) {
        unsigned same = 0;
        while (same < count && strcmp(ret[same].name, common[i].name) != 0)
            same++;
        if (same == count && is_common_of(c, i))
            add(&ret[count++], &common[i], (int)OPTIONS_MAX + i);
    }
    return count;
}

static void take_common(const struct command_line *c, const char *command, int which, char *text,
                        struct output *ret)
{
    switch (which) {
    case COMMON_JSON: ret->json = text; break;
    case COMMON_HTML: ret->html = text; break;
    case COMMON_HELP: print_help(c, command); exit(0);
    default: break;
    }
}

/* Is it one of the options that all have, which are about no figure? It and its value are so many
 * words; 0: it is not. */
static int words_of_common(const char *word)
{
    for (int i = 0; strncmp(word, "--", 2) == 0 && i < COMMON; i++) {
        size_t len = strlen(common[i].name);
        if (strncmp(word + 2, common[i].name, len) == 0 && (!word[2 + len] || word[2 + len] == '='))
            return !word[2 + len] && common[i].value ? 2 : 1;
    }
    return 0;
}

/* What was asked for, in words: figures of two runs compare if that is the same. */
static char *make_line(const char *command, char **words, int count)
{
    char *line = must_print("%s", command);
    for (int i = 0; i < count;) {
        int skipped = words_of_common(words[i]);
        if (!skipped) {
            char *longer = must_print("%s %s", line, words[i]);
            free(line);
            line = longer;
        }
        i += skipped ? skipped : 1;
    }
    return line;
}

/* How many letters from here on are a secret, up to the end of the option's value. */
static size_t secret_at(const char *text, const char *at)
{
    static const char uri[] = "://", password[] = "password=";
    size_t len = strcspn(at, " ,");
    const char *sign = memrchr(at, '@', len);
    if (at - text >= (long)strlen(uri) && strncmp(at - strlen(uri), uri, strlen(uri)) == 0)
        return sign ? (size_t)(sign - at) + 1 : 0;
    bool is_password = at - text >= (long)strlen(password) &&
                       strncmp(at - strlen(password), password, strlen(password)) == 0;
    return is_password ? len : 0;
}

char *options_without_secrets(const char *text)
{
    char *ret = must_print("%s", text), *to = ret;
    for (const char *at = text; *at;) {
        at += secret_at(text, at);
        if (*at)
            *to++ = *at++;
    }
    *to = '\0';
    return ret;
}

/* The environment may be that of somebody's server. Its Redis would be written to, emptied and
 * killed, its socket taken, its recording begun anew. */
static void refuse_conf(const struct command_line *c, const char *conf, const char *line)
{
    static const char *const theirs[] = {"control.socket", "trace.file", "redis."};
    size_t count = sizeof(theirs) / sizeof(theirs[0]) - (c->conf == CONF_TAKEN);
    for (size_t i = 0; i < count; i++)
        if (strstr(conf, theirs[i]))
            fail(OPTIONS_CONF " has %s, which is for a server and not for what is measured: try\n"
                 "env -u " OPTIONS_CONF " perf/run %s",
                 i == 2 ? "a Redis" : theirs[i], line);
}

/* What the environment says of nigh is part of what is measured. */
static const char *with_conf(const struct command_line *c, char *line)
{
    const char *said = getenv(OPTIONS_CONF_SAID), *conf = said ? said : getenv(OPTIONS_CONF);
    char *longer = line;
    if (c->measures && c->conf != CONF_IGNORED && conf && *conf) {
        refuse_conf(c, conf, line);
        longer = must_print("%s (" OPTIONS_CONF "=%s)", line, conf);
        free(line);
    }
    char *shown = options_without_secrets(longer);
    free(longer);
    return shown;
}

int options_read(const struct command_line *c, const char *name, void *settings,
                 struct output *ret_output, int argc, char **argv)
{
    struct option table[OPTIONS_MAX + COMMON + 1] = {{0}};
    int choice, index = 0;
    make_table(c, name, table);
    optind = argc > 1 && strcmp(argv[1], name) == 0 ? 2 : 1;
    char *line = make_line(name, argv + optind, argc > optind ? argc - optind : 0);
    *ret_output = (struct output){.command = name};
    opterr = 0;
    while ((choice = getopt_long(argc, argv, ":", table, &index)) != -1) {
        if (choice == ':')
            fail("%s: a value is missing; see perf/run %s --help", argv[optind - 1], name);
        if (choice == '?')
            fail("%s: no option of perf/run %s; see perf/run %s --help", argv[optind - 1], name,
                 name);
        if (choice < (int)OPTIONS_MAX)
            c->take(settings, choice, table[index].name, optarg);
        else
            take_common(c, name, choice - (int)OPTIONS_MAX, optarg, ret_output);
    }
    if (c->measures && IS_DEBUG_BUILD)
        fail("this is a Debug build: it refuses to measure (build with CMAKE_BUILD_TYPE=Release)");
    ret_output->line = with_conf(c, line);
    if (c->measures)
        output_check(ret_output);
    return optind;
}
