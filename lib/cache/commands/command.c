// SPDX-License-Identifier: MIT
/*
 * Words of a command as what they name, and the errors where they name nothing.
 */
#include "cache/commands/command.h"

#include <ctype.h>

bool command_is_word(struct bytes word, const char *text)
{
    return bytes_equal(word, bytes_of_string(text));
}

const char *command_string(struct command *c, struct bytes word)
{
    if (memchr(word.data, 0, word.len) == NULL)
        return word.data;
    control_error(c->reply, "a name or value has no byte 0");
    return NULL;
}

void command_fail(struct command *c, int rc)
{
    control_error(c->reply, "%s", rc == NIGH_EOPTION ? nigh_options_error() : nigh_strerror(rc));
}

/* Says which spaces there are, as many as a line has room for, to who has named another one. */
static void refuse_space(struct command *c)
{
    char names[256] = "none";
    struct text w = text_into(names, sizeof(names));
    const char *name;
    for (size_t i = 0; nigh_stats_space(c->cache, i, &name); i++) {
        text_add(&w, "%s", i ? ", " : "");
        text_add_name(&w, bytes_of_string(name));
    }
    control_error(c->reply, "no space of this name is open; open are: %s", names);
}

struct nigh_space *command_space(struct command *c, struct bytes name)
{
    struct nigh_space *space = space_find(c->cache, name);
    if (!space)
        refuse_space(c);
    return space;
}

/* Whether the text has the word, and no longer one that begins or ends so. */
static bool has_word(const char *text, const char *word)
{
    size_t len = strlen(word);
    for (const char *at = text; (at = strstr(at, word)); at += len)
        if ((at == text || !isalnum((unsigned char)at[-1])) && !isalnum((unsigned char)at[len]))
            return true;
    return false;
}

void command_meant_add(struct command_meant *m, const char *name, const char *meaning)
{
    if (m->word[0] && (strstr(name, m->word) || has_word(meaning, m->word)))
        text_add(&m->names, "%s%s", m->names.needed ? ", " : "", name);
}

void command_takes_add(struct command_meant *m, const char *name, const char *args)
{
    if (m->word[0] && has_word(args, m->word))
        text_add(&m->names, "%s%s", m->names.needed ? ", " : "", name);
}

void command_append(struct command *c, control_write_fn write, void *arg)
{
    long needed = control_append(c->reply, write, arg);
    if (needed < 0)
        command_fail(c, (int)needed);
}
