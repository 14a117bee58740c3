/* SPDX-License-Identifier: MIT */
/*
 * Level 2: the control socket. Lines of commands come in from people and programs of this machine,
 * answers go out; what a command means is the business of whoever opens it.
 *
 *     client:  stats json \n                  one line: words, between blanks
 *     we:      {"gauges": ... } \n \n         the answer, and an empty line at its end; then the
 *                                             connection is closed
 *
 * One connection is for one line, so that `echo health | nc -U SOCKET` ends by itself. After
 * `prompt` it stays: an answer to each line, and "> " before it; `quit`, or the client's end of the
 * stream, closes it. An answer that begins with "error: " says why there is no other. An answer has
 * no empty line in it (it is sent with a blank), so whoever has read one has read all.
 *
 * Words. Blanks and tabs part them. Between "..." they are part of the word. Everywhere \xNN is the
 * byte NN (two hexadecimal digits), and a backslash before a backslash, a quote or a blank is that.
 * All other bytes are themselves: a key of any bytes can be written. A line ends with \n, or \r\n.
 *
 * Nobody is harmed. A line has 64 KiB at most, a client 10 s for it and 30 s to take its answer;
 * 64 clients are served at a time, others wait in the kernel, and while all places are taken who
 * says nothing has 1 s: so 200 connections that somebody has forgotten cost an operator 3 s. Who is
 * of another user (but root) is told so and closed. All of it happens on one thread of its own
 * (nigh-control), or in steps.
 *
 * The socket's file: place.h.
 */
#ifndef NIGH_CONTROL_CONTROL_H
#define NIGH_CONTROL_CONTROL_H

#include <sys/types.h>

#include "base/base.h"

#define CONTROL_LINE_BYTES (64u * 1024)
#define CONTROL_WORDS_MAX 1024u
#define CONTROL_CLIENTS_MAX 64u
#define CONTROL_REPLY_BYTES (64u << 20) /* longest answer: numbers of all spaces there may be */
#define CONTROL_LINE_NS (10 * NS_PER_S)
#define CONTROL_TAKE_NS (30 * NS_PER_S)
#define CONTROL_PROMPT_NS (600 * NS_PER_S) /* between two lines after `prompt` */
#define CONTROL_IDLE_NS NS_PER_S /* before a line, while all places are taken */

/* ---- answers ---- */

/* An answer as it grows. One thread at a time. */
struct control_reply {
    struct mem *mem;
    char *text;
    size_t len;
    size_t size;
    bool failed;   /* too long, or no memory: what was written is gone */
    bool is_error; /* nothing is added any more */
};

/* Append text, whatever the host's locale. */
__attribute__((format(printf, 2, 3))) void control_print(struct control_reply *r, const char *fmt,
                                                         ...);
/* Make this the whole answer: "error: " and the text, cut at 1000 bytes. */
__attribute__((format(printf, 2, 3))) void control_error(struct control_reply *r, const char *fmt,
                                                         ...);
/* Append what `write` writes into a buffer of a size, in the manner of nigh_stats(): it returns how
 * many bytes it needs without the NUL, and is called again with enough room, or < 0, which is
 * handed back. */
typedef long (*control_write_fn)(void *arg, char *buffer, size_t size);
long control_append(struct control_reply *r, control_write_fn write, void *arg);

/* ---- lines ---- */

/* Take a line (without its end) apart into words, in place: `line` has a byte of room behind its
 * `len`. Each word ends with a NUL that does not count. NULL and their number, or what is wrong. */
const char *control_words(char *line, size_t len, struct bytes *words, uint32_t words_max,
                          uint32_t *ret_count);

struct control_request {
    const struct bytes *words; /* each NUL-ended */
    uint32_t count;            /* not 0 */
    uid_t uid;                 /* who asks */
    pid_t pid;
};

/* ---- the socket ---- */

struct control_host {
    /* Answer a request. On nigh-control, or in control_step(); may block for some time, in which
     * other clients wait. */
    void (*answer)(void *arg, const struct control_request *q, struct control_reply *r);
    void *arg;
};

struct control_config {
    struct env *env;
    struct control_host host;
    const char *path; /* {pid} stands for the process' number */
    uint64_t line_ns; /* times of a client; 0: as above */
    uint64_t take_ns;
};

struct control;

/* Open the socket, and start the thread if there are own threads. A path that is taken, or cannot
 * be used for now, is no error: the log has a word about it, and it is tried again each second.
 * Errors: NIGH_EOPTION (explained) the path is too long or not absolute; NIGH_ENOMEM;
 * NIGH_ETHREAD. */
int control_open(const struct control_config *config, struct control **ret_control);
/* Stop, drop all clients, remove the file if it is still ours. NULL is fine. Not in a child of
 * fork(): file and clients are the parent's. */
void control_close(struct control *c);

/* ---- without own threads ---- */

/* Readable while there is something to do; it stays the same. */
int control_poll_fd(const struct control *c);
/* Do what is to be done now, unless another thread does. */
void control_step(struct control *c);
/* How long until a step is due that no descriptor tells of. */
uint64_t control_left_ns(const struct control *c);

#endif
