// SPDX-License-Identifier: MIT
/*
 * The commands that ask at control sockets: the words go there as they are, the answers come out.
 * Only those of `invalidate`, which may be many, go in parts, for a line has bounds; what a part
 * was answered is shown of the last, and where it is not as it should be.
 *
 * People at a terminal get lines of its width; a pipe gets each line whole, for grep.
 */
#include "tool/tool.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <nigh/nigh.h>

#define PART_WORDS 1000u  /* a process takes 1024 words, */
#define PART_BYTES 60000u /* and 65536 bytes, in a line */

/* Whether an answer is for programs: JSON, or Prometheus' text. */
static bool is_data(const char *answer)
{
    return *answer == '{' || *answer == '#';
}

static void put_answer(const char *answer)
{
    if (is_data(answer))
        fputs(answer, stdout);
    else
        fold_put(answer);
}

static void show(const struct tool_args *args, size_t i, const char *answer)
{
    bool several = args->socket_count > 1;
    if (line_is_error(answer)) {
        fflush(stdout);
        fprintf(stderr, "nigh: %s%s%s", several ? args->sockets[i] : "", several ? ": " : "",
                answer + strlen("error: "));
        return;
    }
    if (several && is_data(answer)) { /* a program reads one object after the other */
        fflush(stdout);
        fprintf(stderr, "nigh: %s:\n", args->sockets[i]);
    } else if (several) {
        printf("%s%s:\n", i ? "\n" : "", args->sockets[i]);
    }
    put_answer(answer);
}

static int show_none(const struct tool_args *args, size_t i, const char *why)
{
    fflush(stdout); /* where both go to one terminal, each stays in its place */
    fprintf(stderr, "nigh: %s: %s\n", args->sockets[i], why ? why : "no memory");
    return TOOL_NOBODY;
}

typedef int (*judge_fn)(const char *answer);

static int status_of(const char *answer, judge_fn judge)
{
    return line_is_error(answer) ? TOOL_REFUSED : judge ? judge(answer) : TOOL_DONE;
}

/* Asks all sockets. Returns the worst of what they say. `quiet`: what is good is not shown. */
static int ask_all(const struct tool_args *args, const char *line, judge_fn judge, bool quiet)
{
    struct line_answer answers[TOOL_SOCKETS_MAX];
    int worst = TOOL_DONE;
    if (!line)
        return TOOL_NOBODY;
    lines_ask(args->sockets, args->socket_count, line, args->timeout_ms, answers);
    for (size_t i = 0; i < args->socket_count; i++) {
        int status = answers[i].text ? status_of(answers[i].text, judge)
                                     : show_none(args, i, answers[i].why);
        if (answers[i].text && !(quiet && status == TOOL_DONE))
            show(args, i, answers[i].text);
        worst = status > worst ? status : worst;
        free(answers[i].text);
    }
    return worst;
}

static int ask(const struct tool_args *args, const char *command, judge_fn judge)
{
    char *line = line_of(command, args->words, args->count, args->escaped);
    int status = ask_all(args, line, judge, false);
    free(line);
    return status;
}

/* Returns how many of the words from one on fit into a line; one is always tried. */
static size_t count_of_part(const struct tool_args *args, size_t from)
{
    size_t count = 0;
    size_t bytes = 0;
    while (from + count < args->count && count < PART_WORDS) {
        bytes += 4 * strlen(args->words[from + count]) + 3; /* quoted; a byte as \xNN */
        if (count > 0 && bytes > PART_BYTES)
            break;
        count++;
    }
    return count;
}

/* Asks in as many lines as the words take. What is not accepted ends it, and may be tried again;
 * what waits for Redis does not. */
static int ask_in_parts(const struct tool_args *args, const char *command, judge_fn judge)
{
    int worst = TOOL_DONE;
    size_t told = 0;
    do {
        size_t count = count_of_part(args, told);
        char *line = line_of(command, args->words + told, count, args->escaped);
        int status = ask_all(args, line, judge, told + count < args->count);
        free(line);
        worst = status > worst ? status : worst;
        if (status != TOOL_DONE && status != TOOL_DOUBT)
            break;
        told += count;
    } while (told < args->count);
    if (told > 0 && told < args->count)
        fprintf(stderr, "nigh: of %zu words the first %zu were told, the others were not\n",
                args->count, told);
    return worst;
}

int ask_stats(const struct tool_args *args)
{
    if (args->socket_count > 1 && args->count == 1 && strcmp(args->words[0], "prometheus") == 0) {
        fprintf(stderr, "nigh: a scraper reads one process: -S PATH of each\n");
        return TOOL_USAGE;
    }
    return ask(args, "stats", NULL);
}

int ask_explain(const struct tool_args *args)
{
    return ask(args, "explain", NULL);
}

int ask_hot(const struct tool_args *args)
{
    return ask(args, "hot", NULL);
}

int ask_curve(const struct tool_args *args)
{
    return ask(args, "curve", NULL);
}

static int judge_health(const char *answer)
{
    return strncmp(answer, "ok", 2) == 0 ? TOOL_DONE
           : strncmp(answer, "degraded", 8) == 0 ? TOOL_REFUSED : TOOL_DOUBT;
}

int ask_health(const struct tool_args *args)
{
    return ask(args, "health", judge_health);
}

int ask_spaces(const struct tool_args *args)
{
    return ask(args, "spaces", NULL);
}

int ask_options(const struct tool_args *args)
{
    return ask(args, "options", NULL);
}

int ask_get(const struct tool_args *args)
{
    return args->redis ? redis_get(args) : ask(args, "get", NULL);
}

int ask_set(const struct tool_args *args)
{
    return ask(args, "set", NULL);
}

int ask_log(const struct tool_args *args)
{
    return ask(args, "log", NULL);
}

static int judge_change(const char *answer)
{
    return strncmp(answer, "queued", 6) == 0 ? TOOL_DOUBT : TOOL_DONE;
}

/* Says with --tag and --all what the socket's own words say without. */
static const char *command_of(const struct tool_args *args)
{
    if (args->all)
        return args->soft ? "invalidate soft all" : "invalidate all";
    if (args->tags)
        return args->soft ? "invalidate soft tag" : "invalidate tag";
    return args->soft ? "invalidate soft" : "invalidate";
}

/* Takes names that none can have out of the words: else the part of a long list that has one, and
 * all behind it, would be told to nobody. 0, or a status. */
static int judge_names(struct tool_args *args)
{
    size_t kept = 0, returns = 0, first = 0, first_bytes = 0;
    for (size_t i = 0; i < args->count; i++) {
        char *word = args->words[i];
        size_t bytes = line_length(word, args->escaped);
        bool good = bytes > 0 && bytes <= NIGH_KEY_MAX;
        if (good)
            args->words[kept++] = word;
        else if (first == 0)
            first = i + 1, first_bytes = bytes;
        returns += good && word[strlen(word) - 1] == '\r';
    }
    if (returns > 0)
        fprintf(stderr, "nigh: note: %zu of %zu names end in a carriage return, as lines of "
                        "Windows do: is it part of them?\n", returns, args->count);
    if (first > 0)
        fprintf(stderr, "nigh: %zu of %zu names are left out, first number %zu: it has %zu bytes, "
                        "and 1 to %u are possible\n", args->count - kept, args->count, first,
                first_bytes, NIGH_KEY_MAX);
    args->count = kept;
    return first > 0 ? TOOL_REFUSED : TOOL_DONE;
}

static int ask_of_keys(const struct tool_args *args)
{
    char *space = strdup(args->space);
    char *head = space ? line_of("invalidate key", &space, 1, args->escaped) : NULL;
    int status = head ? ask_in_parts(args, head, judge_change) : TOOL_NOBODY;
    free(head);
    free(space);
    return status;
}

/* Whether it is said what has changed, and no two flags contradict: --space S --all may mean the
 * space, which is not guessed. */
static bool means_one_thing(const struct tool_args *args)
{
    bool named = args->count > 0 || args->all;
    return named && (args->space != NULL) + args->tags + args->all <= 1 &&
           !(args->soft && args->space) && !(args->all && args->count > 0);
}

static int tell_change(const struct tool_args *args)
{
    if (args->redis)
        return redis_invalidate(args);
    if (args->space)
        return ask_of_keys(args);
    return args->tags ? ask_in_parts(args, command_of(args), judge_change)
                      : ask(args, command_of(args), judge_change);
}

int ask_invalidate(const struct tool_args *args)
{
    struct tool_args rest = *args;
    if (!means_one_thing(args)) {
        fprintf(stderr, "nigh: one of --space S KEY..., --tag TAG... and --all is wanted; --soft "
                        "is not for keys\n");
        return TOOL_USAGE;
    }
    bool names = args->space || args->tags;
    int judged = names ? judge_names(&rest) : TOOL_DONE;
    int told = names && rest.count == 0 ? judged : tell_change(&rest);
    return told > judged ? told : judged;
}

int ask_send(const struct tool_args *args)
{
    struct tool_args rest = *args;
    if (strcmp(args->words[0], "prompt") == 0 || strcmp(args->words[0], "quit") == 0) {
        fprintf(stderr, "nigh: %s is for a connection that stays, as nc -U has one: this asks for "
                        "one answer\n", args->words[0]);
        return TOOL_USAGE;
    }
    rest.words++;
    rest.count--;
    return ask(&rest, args->words[0], NULL);
}
