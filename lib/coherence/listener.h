/* SPDX-License-Identifier: MIT */
/*
 * The listener: the channel of frames, and the thread that hears it. Private to coherence.
 */
#ifndef NIGH_COHERENCE_LISTENER_H
#define NIGH_COHERENCE_LISTENER_H

#include "coherence/core.h"

#define COHERENCE_LISTENING(listens) ((listens) & 1)
#define COHERENCE_LISTENS_NEVER UINT32_MAX /* differs from every count there is */

struct coherence_listener {
    struct turn listening;
    struct l2_channel *channel; /* (c) */
    struct service service;     /* (c) */
    _Atomic uint32_t listens;   /* (a) bumped by each up and down: odd while subscribed */
    _Atomic bool stopping;      /* (a) */
};

int coherence_listener_start(struct coherence *c);
void coherence_listener_stop(struct coherence *c);

#endif
