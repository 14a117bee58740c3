/* SPDX-License-Identifier: MIT */
/*
 * A login says as whom to connect, with a password that may change while the client is open.
 *
 *     URI, file, or the host's function
 *           |  login_refresh(): who drives, before each connection and once a second
 *           v
 *         `next` ---- a server accepts it ----> `now` ---- is replaced: wiped
 *
 * A password that was found is a candidate only: until a server has accepted it the one before it
 * goes on working. So a file that is empty, unreadable or half written, and one that is written
 * before the server knows the password, or after, cost nothing. A connection is made with the
 * candidate first; if that is refused with the other one; and so in turns, as long as both are.
 *
 * Passwords are in here, in the output of a connection until it was written, and nowhere else: they
 * are wiped when they are replaced. They are in no message, no answer and no report.
 *
 * Thread-safety: any thread takes, accepts and refuses; login_refresh() is called by who drives.
 */
#ifndef NIGH_L2_LOGIN_H
#define NIGH_L2_LOGIN_H

#include "l2/l2.h"
#include "l2/outage.h"
#include "l2/uri.h"

#define LOGIN_FILE_MAX 1024u /* bytes of the file's path */

struct login;

/* A login as it is sent; to be wiped behind that. */
struct login_words {
    char user[URI_USER_MAX]; /* "": none, the password alone */
    char password[URI_PASSWORD_MAX];
    uint64_t number; /* names the password: from 1, rising. 0: there is none */
};

/* Checks what is said of logging in, but for what stands in the URI. 0 or NIGH_EOPTION,
 * explained. */
int login_check(const struct l2_config *config);
/* NULL, or what is wrong with where a server's password comes from. */
const char *login_check_uri(const struct l2_config *config, const struct uri *uri);

/* `what` names the file's option. The config's strings are copied, and wiped with the login.
 * NULL: no memory. */
struct login *login_create(struct env *env, const struct l2_login *config, const char *what);
/* Leaves a function that has not returned, see asker.h. NULL is fine. */
void login_destroy(struct login *l);
/* Whether anybody has to log in. NULL: no. */
bool login_is_wanted(const struct login *l);

/* Looks for another password, if it is time, or `at_once`. May read the file, or ask the host's
 * function, and `at_once` wait a moment for that. NULL is fine. */
void login_refresh(struct login *l, bool at_once, uint64_t now_ns);
/* Returns when to look again: never, if the password cannot change. NULL is fine. */
uint64_t login_due_ns(const struct login *l);

/* Takes the password for a new connection. */
void login_take(struct login *l, struct login_words *ret);
/* Takes the candidate that a connection which is logged in should try; number 0: there is none, or
 * it was refused a short while ago. */
void login_take_next(struct login *l, uint64_t now_ns, struct login_words *ret);
void login_wipe(struct login_words *w);
/* A server has accepted, or refused, the password of this number. */
void login_accepted(struct login *l, uint64_t number);
void login_refused(struct login *l, uint64_t number, uint64_t now_ns);
/* Whether there is one that was not refused, behind one that was. NULL: no. */
bool login_has_other(struct login *l);

/* Says why no newer password is found; "": nothing is wrong. NULL is fine. */
void login_problem_read(struct login *l, uint64_t now_ns, struct l2_problem *ret);

#endif
