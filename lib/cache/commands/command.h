/* SPDX-License-Identifier: MIT */
/*
 * A command of the control socket on its way: its words, what they name, and its answer. Commands
 * run one at a time.
 */
#ifndef NIGH_CACHE_COMMANDS_COMMAND_H
#define NIGH_CACHE_COMMANDS_COMMAND_H

#include <nigh/nigh.h>

#include "cache/cache.h"
#include "cache/options.h"
#include "cache/space.h"
#include "control/control.h"

/* Keys: (c) constant after open */
struct commands {
    struct nigh *cache;         /* (c) */
    struct control *control;    /* (c) */
    struct nigh_options opened; /* (c) what they were; its strings are those below */
    char *strings;              /* (c) strings_size bytes */
    size_t strings_size;        /* (c) */
    struct nigh_target targets[CONTROL_WORDS_MAX];          /* of the command that runs */
};

struct command {
    struct commands *commands;
    struct nigh *cache;
    const struct bytes *words; /* behind its name */
    uint32_t count;
    struct control_reply *reply;
};

/* ---- what words name; answers ---- */

bool command_is_word(struct bytes word, const char *text);
/* The word as a string, which has no NUL in it. NULL: an error has been answered. */
const char *command_string(struct command *c, struct bytes word);
/* The space of that name. NULL: an error has been answered. */
struct nigh_space *command_space(struct command *c, struct bytes name);
/* Those that a word may have meant which is no name, as many as there is room for. */
struct command_meant {
    const char *word;
    struct text names;
};
/* Add a name, if the word is a part of it or a word of its meaning. */
void command_meant_add(struct command_meant *m, const char *name, const char *meaning);
/* Add a command that takes the word, as it stands in what is said of its words. */
void command_takes_add(struct command_meant *m, const char *name, const char *args);
/* Answer an error of the library. */
void command_fail(struct command *c, int rc);
/* Answer what `write` writes (control.h), or its error. */
void command_append(struct command *c, control_write_fn write, void *arg);

/* ---- the commands: each answers, and has as many words as its row in commands.c says ---- */

void command_version(struct command *c);
void command_stats(struct command *c);
void command_explain(struct command *c);
void command_hot(struct command *c);
void command_curve(struct command *c);
void command_health(struct command *c);
void command_spaces(struct command *c);
void command_options(struct command *c);
void command_get(struct command *c);
void command_set(struct command *c);
void command_log(struct command *c);
void command_invalidate(struct command *c);

#endif
