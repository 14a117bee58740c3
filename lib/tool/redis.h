/* SPDX-License-Identifier: MIT */
/*
 * What the commands share that need no process: a cache of this program's own, with next to no L1,
 * that is a node as any other for as long as one command takes.
 */
#ifndef NIGH_TOOL_REDIS_H
#define NIGH_TOOL_REDIS_H

#include "tool/tool.h"

#include <signal.h>
#include <stdatomic.h>
#include <string.h>

#include <nigh/nigh.h>

#define REDIS_LOOK_MS 5        /* between two looks at what is waited for */
#define REDIS_NOBODYS_MS 1500u /* for nodes that cannot listen: their next beat, if it is usual */

struct redis_node {
    struct nigh *cache;
    struct nigh_space *space; /* NULL: none was named */
    char prefix[NIGH_NAME_MAX + 1];
    bool unused;              /* nobody had changed anything under it */
    bool deserted;            /* no node uses it, nor does anybody listen there */
    bool waits;               /* for the first node that comes to it */
    unsigned others;          /* who listen there although no node uses it, as last counted */
    _Atomic bool old;         /* (a) relaxed: nodes of wire version 1 may use it, no others */
    _Atomic unsigned slots;   /* (a) relaxed: what Redis says of them; 0: nothing */
    _Atomic bool nobodys;     /* (a) relaxed: no node uses the prefix */
};

/* ---- redis_access.c: as what, and how, Redis is used ---- */

/* Take that from NIGH_CONF, and the URI from --redis. 0, or a status. */
int redis_take_conf(const struct tool_args *args, struct nigh_options *o);
/* Take that from the first process. 0, or a status. */
int redis_take_from_process(const struct tool_args *args, struct nigh_options *o);

/* ---- redis_node.c: the node ---- */

/* A signal has ended the program: opening gives up. Only who watches sets it. */
extern volatile sig_atomic_t redis_ended;

/* Open the node, which is zeroed, at the Redis that --redis names. It is trusted then, or the
 * prefix is nobody's. Else a status, and nothing is open. */
int redis_open(const struct tool_args *args, struct redis_node *n);
/* Opens it with these options; o->group_slots becomes what Redis says. */
int redis_open_with(const struct tool_args *args, struct nigh_options *o, struct redis_node *n);

/* Whether no node uses the prefix. */
bool redis_is_nobodys(const struct redis_node *n);
/* Whether nodes of wire version 1 may use it, and no others do. */
bool redis_is_old(const struct redis_node *n);

/* Say on stderr what could not be done, and why ("": it goes without saying). TOOL_NOBODY. */
int redis_fail(const char *what, const char *why);
/* Say why Redis cannot be used. TOOL_NOBODY. */
int redis_say_problem(const struct redis_node *n);
/* Warn where the prefix is nobody's, or seems to be. */
void redis_look_at_prefix(const struct redis_node *n);
/* Warn where the space, or (`of_schema`) this program's schema of it, seems to be nobody's. */
void redis_look_at_space(const struct tool_args *args, struct redis_node *n, bool of_schema);

/* Returns a word's length, once its bytes are what they stand for. */
static inline size_t redis_length_of(const struct tool_args *args, char *word)
{
    return args->escaped ? line_unescape(word) : strlen(word);
}

#endif
