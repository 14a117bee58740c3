/* SPDX-License-Identifier: MIT */
/*
 * What a space has been like lately: what its counters have gained in the last second, minute and
 * hour, and how young those are that it evicts. And how late changes come here of late.
 *
 * One rule makes all figures of a window. It ends with the keeper's last look, which comes once a
 * second, and began T earlier; what a counter gained is what it is, less what it was then. What it
 * was is read off the line between two notes of all counters, of which the keeper takes one each
 * T/12:
 *
 *       note     note             note     look
 *     ---+--------+--- . . . ------+--------+---> time
 *             ^ began, T before the look
 *
 * So nothing fades, nothing comes or goes by steps, who has raised a cap sees evictions end within
 * the minute, and a keeper that comes late (a host that seldom ticks) does no harm. And whoever
 * tells a ratio of a window, here or from several counts, tells the same one at one moment.
 *
 * A window reaches back no further than to the opening of the space, nor to the last change of a
 * cap: what was read under another cap says nothing of this one. Texts say how far it does.
 *
 * The age of the evicted is that which a tenth of those did not reach that went in the minute
 * before the last look; there is none if none went. So it lapses within two minutes. A histogram of
 * all time would hide that the traffic has changed.
 */
#ifndef NIGH_CACHE_TREND_H
#define NIGH_CACHE_TREND_H

#include <stdatomic.h>
#include <stdint.h>

#include "base/base.h"
#include "stats/stats.h"

struct nigh;
struct nigh_space;

enum trend_window { TREND_SECOND, TREND_MINUTE, TREND_HOUR, TREND_WINDOWS };

/* Names what a window tells. A tier is named by the first of its three, which are in this order. */
enum trend_count {
    TREND_L1,
    TREND_L1_FRESH = TREND_L1,
    TREND_L1_STALE,
    TREND_L1_MISS,
    TREND_L2,
    TREND_L2_FRESH = TREND_L2,
    TREND_L2_STALE,
    TREND_L2_MISS,
    TREND_EVICTED, /* so that others could come: not what a cap that comes down sheds */
    TREND_REFUSED,
    TREND_MISS_ABSENT,
    TREND_MISS_OF, /* the first of the causes (misses.h), as the counters are in order */
    TREND_MISS_OF_ABSENT = TREND_MISS_OF + STATS_MISS_OF_ABSENT - STATS_MISS_OF_NEW,
    TREND_COUNTS = TREND_MISS_OF + STATS_MISS_OF_OTHER - STATS_MISS_OF_NEW + 1,
};
#define TREND_NOTES 13u /* one each twelfth of a window, and one that is older than it */

/* Why a window is not full: what came before does not count. */
enum trend_since {
    TREND_SINCE_OPENED,
    TREND_SINCE_CAP,
    TREND_SINCE_SMALLER_CAP,
    TREND_SINCE_REASONS
};

struct trend_note {
    uint64_t at_ns;
    uint64_t counts[TREND_COUNTS]; /* of all time */
};

/* Keys: (k) whoever holds the latch of trend_clock  (a) written by that one, read by anyone */
struct trend {
    struct trend_past {
        struct trend_note notes[TREND_NOTES]; /* (k) a ring */
        uint32_t noted;                       /* (k) how many ever were; one at least */
        _Atomic uint64_t gained[TREND_COUNTS]; /* (a) */
        _Atomic uint64_t span_ns;              /* (a) its length so far */
    } past[TREND_WINDOWS];
    _Atomic uint32_t since;           /* (a) enum trend_since */
    uint64_t evicted;                 /* (k) and refused, at the last look */
    uint64_t ages[HISTOGRAM_BUCKETS]; /* (k) of the evicted, at the last look */
    _Atomic uint64_t evicted_age_ns;  /* (a) 0: none was evicted lately */
    _Atomic uint64_t no_room_ns;      /* (a) the last look that found some evicted or refused */
};

/*
 * How late changes came here in the last half hour to an hour, and when the last one did: what the
 * histogram has gained since the older of two looks at it, which are half an hour apart; before the
 * second of them, since the opening.
 */
struct trend_lag {
    uint64_t was[2][HISTOGRAM_BUCKETS]; /* (k) the older first */
    uint64_t was_ns[2];                 /* (k) when they were looked at: at first the opening */
    uint64_t count;                     /* (k) of all time, at the last look */
    _Atomic uint64_t median_ns, p99_ns, longest_ns; /* (a) longest_ns 0: none came */
    _Atomic uint64_t since_ns; /* (a) since when they count: the older look, or the opening */
    _Atomic uint64_t heard_ns; /* (a) the look that found the last one; 0: none ever came */
    uint64_t seen[HISTOGRAM_BUCKETS]; /* (k) at the last look */
    struct {
        uint64_t ns, at_ns; /* (k) the longest of each half hour, and the look that found it */
        uint64_t most_ns;   /* (k) it was no longer than that; 0: it was about as long as it says */
    } top[2];
    uint64_t most_ns;       /* (k) the longest bound that no look has found in the histogram yet */
    _Atomic uint64_t longest_at_ns;   /* (a) the look that found the longest */
    _Atomic uint64_t longest_most_ns; /* (a) it is only known to be no longer; 0: it is known */
};

/* When the keeper looked last. */
struct trend_clock {
    struct latch latch; /* who looks, or begins anew */
    uint64_t look_ns;   /* (k) */
    uint64_t ages_ns;   /* (k) */
};

/* Returns what a counter has gained in the last minute, or in as much of it as counts. */
uint64_t trend_lately(const struct trend *t, enum trend_count which);
/* Returns how many of a million reads of a tier were hits; 0: there were none. */
uint32_t trend_hits_ppm(const struct trend *t, enum trend_count tier, enum trend_window window);
/* Returns how many reads of a tier there were. */
uint64_t trend_reads(const struct trend *t, enum trend_count tier, enum trend_window window);
/* Returns how far a window reaches back: less than its time since it began anew. */
uint64_t trend_span_ns(const struct trend *t, enum trend_window window);
/* Whether the last minute of one is told over more time than that of the other. */
bool trend_is_longer(const struct trend *a, const struct trend *b);
/* Keeper: look, if a second has passed. */
void trend_keep(struct nigh *cache);
/* Begin the windows of a space that is being opened, before anyone else finds it: all that it
 * counts from now on counts. Locks: as below. */
void trend_open(struct nigh_space *space);
/* Begin the windows of all spaces anew, or of `only` one, for a cap has changed, as `since` says.
 * Threads: any. Locks: the latch, and within it those of shards, briefly. */
void trend_begin_anew(struct nigh *cache, struct nigh_space *only, enum trend_since since);

#endif
