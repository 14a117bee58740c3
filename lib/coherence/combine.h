/* SPDX-License-Identifier: MIT */
/*
 * Invalidations of several calls in one script. Private to coherence.
 */
#ifndef NIGH_COHERENCE_COMBINE_H
#define NIGH_COHERENCE_COMBINE_H

#include <pthread.h>

#include "coherence/core.h"

/* As many as are worth it: twice as many cost half of what is left to save. A frame of them is far
 * below what the log takes, and Redis is at work on them for some 0.2 ms. */
#define COMBINE_ITEMS_MAX 128u
#define COMBINE_TEXT_BYTES 8192u

/* Keys: (b) combine lock */
struct coherence_combine {
    pthread_mutex_t lock;
    uint32_t under_way;       /* (b) scripts that others wait for, see combined.c */
    uint32_t crowd;           /* (b) > 0: crowded; each script of few calls takes 1 off */
    struct combined *pending; /* (b) goes next; NULL: nothing waits */
    struct combined *spare;   /* (b) to be used again */
    uint32_t spare_count;     /* (b) */
};

void coherence_combine_init(struct coherence_combine *m);
void coherence_combine_fini(struct coherence_combine *m, struct mem *mem);

enum combine_says {
    COMBINE_ALONE,   /* to be sent alone; coherence_combine_end() when the answer has come */
    COMBINE_APART,   /* to be sent alone, and nobody waits for that */
    COMBINE_SETTLED, /* accepted, its local step is done */
    COMBINE_UNKNOWN, /* not accepted, or not known whether */
};
struct combine_outcome {
    struct coherence_position position; /* COMBINE_SETTLED: where it stands ... */
    bool unfollowed;                    /* ... under a clock that is not followed */
};
/* Takes an invalidation along with those of other calls, if others are under way. Blocks up to its
 * deadline. */
enum combine_says coherence_combine(struct coherence *c, const struct coherence_change *change,
                                    struct combine_outcome *ret);
/* After COMBINE_ALONE: the script is answered, or was not sent. */
void coherence_combine_end(struct coherence *c);

#endif
