/* SPDX-License-Identifier: MIT */
/*
 * The control socket as its own files see it: the server, and its clients.
 *
 * A host may close descriptors that it does not know (closefrom), and open others under the same
 * numbers. A socket is known by its inode, which is looked at before the number is used.
 */
#ifndef NIGH_CONTROL_SERVER_H
#define NIGH_CONTROL_SERVER_H

#include "control/control.h"
#include "control/place.h"

/* A descriptor, and which file it was when we opened it. */
struct control_fd {
    int fd; /* < 0: none */
    ino_t inode;
};

enum client_state { CLIENT_NONE, CLIENT_READS, CLIENT_WRITES };

/* Keys: all of the thread that steps */
struct client {
    enum client_state state;
    struct control_fd fd;
    uint64_t until_ns;  /* when it is dropped */
    uid_t uid;
    pid_t pid;
    bool prompts;       /* stays after an answer */
    bool ended;         /* it sends nothing any more */
    bool closes;        /* after what is to be sent */
    bool held;          /* its line is not read, for too many answers wait to be taken */
    char *in;           /* in_size bytes: a line so far, and one byte */
    size_t in_len;
    size_t in_size;
    struct control_reply out;
    size_t sent;
};

/* Keys: (c) constant after open  (t) the thread that steps: has the turn  (a) atomic */
struct control {
    struct env *env;          /* (c) */
    struct control_host host; /* (c) */
    uint64_t line_ns;         /* (c) */
    uint64_t take_ns;         /* (c) */
    pthread_t thread;         /* (c) */
    bool running;             /* (c) it is there */
    _Atomic bool stop;        /* (a) ordered by the wake */
    struct turn turn;         /* of stepping */
    int poll_fd;              /* (c) epoll */
    struct control_fd wake;   /* (c) one end of a pair: woken by what comes from the other */
    struct control_fd waker;  /* (c) */
    _Atomic bool gone;        /* (a) the host has closed our descriptors: none is used any more */
    _Atomic uint64_t due_ns;  /* (a) next step that no descriptor tells of */
    struct place place;       /* (t) */
    struct control_fd listener; /* (t) */
    bool accepts;             /* (t) the listener is watched */
    uint64_t retry_ns;        /* (t) when to try again to listen, or to accept */
    uint64_t look_ns;         /* (t) when to look whether the file is there */
    char why[160];            /* (t) why it does not listen, as it was logged */
    struct client clients[CONTROL_CLIENTS_MAX]; /* (t) */
    struct bytes words[CONTROL_WORDS_MAX];      /* (t) of the line that is answered */
};

/* ---- descriptors ---- */

struct control_fd control_fd_of(int fd);
/* Whether it is still the file that it was. */
bool control_fd_is_same(const struct control_fd *f);
/* Close it, unless the number is somebody else's now. */
void control_fd_close(struct control_fd *f);

/* ---- clients ---- */

/* Begin with a connection that was accepted. It is closed at once if there is no place for it. */
void client_begin(struct control *c, struct client *client, int fd, uint64_t now_ns);
/* Whether too much is waiting to be taken for another line to be answered. */
bool clients_are_full(const struct control *c);
/* Read and answer nothing of it for now, and drop it if that takes as long as an answer may. */
void client_hold(struct control *c, struct client *client, uint64_t now_ns);
/* Go on, with the line that it may have sent behind the one before. */
void client_go_on(struct control *c, struct client *client, uint64_t now_ns);
/* Do what can be done for it: read, answer, send. `ready`: what epoll has told; 0: only look
 * whether its time is over. */
void client_step(struct control *c, struct client *client, uint32_t ready, uint64_t now_ns);
void client_drop(struct control *c, struct client *client);

/* ---- answers ---- */

void control_reply_add(struct control_reply *r, struct bytes text);
/* Complete the answer: with the empty line at its end, and none before it. */
void control_reply_end(struct control_reply *r);
void control_reply_free(struct control_reply *r);

#endif
