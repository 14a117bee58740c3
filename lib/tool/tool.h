/* SPDX-License-Identifier: MIT */
/*
 * The program nigh: asks processes that have a control socket, or Redis alone. It stands above the
 * library, and sees of it what every program sees.
 */
#ifndef NIGH_TOOL_TOOL_H
#define NIGH_TOOL_TOOL_H

#include <stdbool.h>
#include <stddef.h>

/* How it ends, for scripts. */
enum tool_status {
    TOOL_DONE = 0,     /* done; health: ok */
    TOOL_REFUSED = 1,  /* the answer is an error; health: degraded */
    TOOL_DOUBT = 2,    /* not accepted by Redis within the time; health: doubt */
    TOOL_NOBODY = 3,   /* nobody answers at the socket, or Redis cannot be used */
    TOOL_USAGE = 64,   /* the command line is wrong */
};

#define TOOL_SOCKETS_MAX 64

/* Flags, as they stood before the command's own words. */
struct tool_args {
    const char *sockets[TOOL_SOCKETS_MAX]; /* in use: paths that are there */
    size_t socket_count;
    const char *patterns[TOOL_SOCKETS_MAX]; /* that have named them */
    size_t pattern_count;
    const char *redis;   /* URI; NULL: not said */
    const char *prefix;  /* NULL: not said */
    const char *space;   /* NULL: not said */
    unsigned timeout_ms; /* for Redis, and for all processes together */
    bool once, raw, soft, tags, all, escaped;
    char **words;        /* the command's own, and their number */
    size_t count;
};

/* ---- main.c ---- */

/* Look for sockets anew: processes come and go. Paths that were found before are gone. */
void tool_find_sockets(struct tool_args *args);

/* ---- line.c: the control socket ---- */

/* The monotonic clock. */
long long line_now_ms(void);

/* An answer without its end, to be freed; NULL: there is none, and why. */
struct line_answer {
    char *text;
    const char *why;
};
/* Ask at sockets, all at once, up to TOOL_SOCKETS_MAX: what has not answered in the time does
 * not. */
void lines_ask(const char *const *paths, size_t count, const char *line, unsigned timeout_ms,
               struct line_answer *ret);
/* Ask at one. NULL: nobody answers, which was said on stderr. */
char *line_ask(const char *path, const char *line, unsigned timeout_ms);
/* Whether nobody listens at a file that is there. */
bool line_is_dead(const char *path);
/* Make one line of words, quoted where they have to be; `escaped`: \xNN in them is a byte. To be
 * freed. */
char *line_of(const char *first, char *const *words, size_t count, bool escaped);
/* How many bytes a word stands for. */
size_t line_length(const char *word, bool escaped);
/* Make bytes of each \xNN of a word, in place. Returns its length. */
size_t line_unescape(char *word);
bool line_is_error(const char *answer);
/* Replace what a terminal acts on, but for ends of lines and tabs. */
void line_make_harmless(char *text, size_t len);

/* ---- fold.c: lines of a text in the width of a terminal ---- */

/* Break lines that are longer, between words; what goes on hangs below the line's text. To be
 * freed; NULL: no memory. */
char *fold(const char *text, size_t columns);
/* Write a text for people: to a terminal in its width, elsewhere each line whole, for grep. */
void fold_put(const char *text);

/* ---- near.c: words that name nothing ---- */

/* Whether a word may have meant a name, by its letters or by what the name means. */
bool near_to(const char *word, const char *name, const char *meaning);

/* ---- json.c: the numbers of an answer ---- */

struct json;

/* NULL: it is no JSON. */
struct json *json_read(const char *text);
void json_free(struct json *j);
/* The number at a path of at most three names (NULL: no more); 0: there is none. */
double json_number(const struct json *j, const char *a, const char *b, const char *c);
/* The sum of the numbers of that name in all objects of the one at `a`. */
double json_sum(const struct json *j, const char *a, const char *name);
/* A quantile, in ns, of what has come to a histogram of a space (NULL: of the cache) between two
 * answers; 0: nothing has. */
double json_quantile_since(const struct json *before, const struct json *now, const char *space,
                           const char *name, double share);
/* The i-th string of the array at `a`; NULL: there are not so many. */
const char *json_element(const struct json *j, const char *a, size_t i);
/* A line of what `hot` answers: a key; or a tag, a space or all. */
struct json_hot {
    const char *name;
    const char *kind; /* "tag", "space", "all"; of a key "" */
    double rate, error;
};
/* The i-th in a list of a space ("hits", "misses", "changes"); without a space, of what is no key.
 * False: there are not so many. */
bool json_hot(const struct json *j, const char *space, const char *list, size_t i,
              struct json_hot *ret);
/* Of all keys of such a list the rate, and the share that no key is above; 0 and 1: not told. */
struct json_hot_whole {
    double rate, share;
};
struct json_hot_whole json_hot_whole(const struct json *j, const char *space, const char *list);
/* The string there; NULL: there is none. */
const char *json_string(const struct json *j, const char *a, const char *b, const char *c);
/* The i-th name in the object at `a`; NULL: there are not so many. */
const char *json_name(const struct json *j, const char *a, size_t i);

/* ---- hot.c: the hottest keys of several processes, from what `hot json` answers ---- */

/* Those of a space, as a table of at most so many rows, with its heading; a list in which none
 * stands out says how even it is, and one without keys has no column. To be freed; NULL: there is
 * nothing to say. */
char *hot_table(struct json *const *of, size_t count, const char *space, size_t columns,
                size_t rows);
/* The tags and spaces that are invalidated most, in one line. To be freed, as above. */
char *hot_groups(struct json *const *of, size_t count, size_t columns);
/* Add a name, cut at so many columns and filled up to them, as bytes that no terminal acts on; up
 * to four for a column, and a NUL. Returns its end. */
char *hot_put_name(char *to, const char *name, size_t columns);

/* Make stdin and stdout wait where they are not ready (streams.c). */
void streams_wait(void);

/* ---- the commands ---- */

int ask_stats(const struct tool_args *args);
int ask_explain(const struct tool_args *args);
int ask_hot(const struct tool_args *args);
int ask_curve(const struct tool_args *args);
int ask_health(const struct tool_args *args);
int ask_spaces(const struct tool_args *args);
int ask_options(const struct tool_args *args);
int ask_get(const struct tool_args *args);
int ask_set(const struct tool_args *args);
int ask_log(const struct tool_args *args);
int ask_invalidate(const struct tool_args *args);
int ask_send(const struct tool_args *args);
int top_run(const struct tool_args *args);
int redis_invalidate(const struct tool_args *args);
int redis_watch(const struct tool_args *args);
int redis_get(const struct tool_args *args);

#endif
