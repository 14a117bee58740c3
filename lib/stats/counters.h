/* SPDX-License-Identifier: MIT */
/*
 * Every counter of nigh, declared once with its documentation.
 *
 * X(NAME, "export_name", "what one count means", OWNER) each; text, JSON, Prometheus and
 * nigh_counters(7) come from this table, and a check fails for a counter that nothing increments.
 * Its owner is S, a space; C, the cache; or E, either, where some events belong to no space: a call
 * that names none, what the table does that spaces share. A series of Prometheus goes by that.
 *
 * Counts are per space; events that belong to no space (of the link to Redis, of the listener)
 * count in the cache's own set.
 *
 * A read that asks L1 counts once, and so does each key of nigh_get_many(): in l1_fresh ("does not
 * exist" too) or l1_stale if L1 answers, else in l1_miss, whatever the read meets after that: L2, a
 * flight, several flights. So (l1_fresh + l1_stale) / (l1_fresh + l1_stale + l1_miss) is the hit
 * ratio. These are not in it:
 *   a probe (NIGH_L1_ONLY) that misses: if its caller then asks further, that call counts a miss;
 *   NIGH_REFRESH, which does not ask L1, and refreshes behind a stale value;
 *   NIGH_QUIET; calls with wrong arguments; a value for which there was no memory (read_error).
 */
#ifndef NIGH_STATS_COUNTERS_H
#define NIGH_STATS_COUNTERS_H

#define STATS_COUNTERS(X)                                                                          \
    /* reads, by what answered */                                                                  \
    X(L1_FRESH, "l1_fresh", "reads answered fresh by L1", S)                                       \
    X(L1_STALE, "l1_stale", "reads answered stale by L1", S)                                       \
    X(L1_MISS, "l1_miss", "reads that L1 could not answer, and that looked further", S)            \
    X(L1_PROBE_MISS, "l1_probe_miss", "reads of L1 alone (NIGH_L1_ONLY) that it did not answer", S)\
    X(L2_FRESH, "l2_fresh", "lookups in L2 that gave a fresh value", S)                            \
    X(L2_STALE, "l2_stale", "lookups in L2 that gave a value that is only stale", S)               \
    X(L2_MISS, "l2_miss", "lookups in L2 that gave nothing", S)                                    \
    X(L2_ERROR, "l2_error", "requests of reads and loads that failed or ran out of time", S)       \
    X(MISS_ABSENT, "miss_absent", "of l1_miss: answered by Redis or a load: known not to exist", S)\
    X(MISS_OF_NEW, "miss_of_new", "misses, by a sample: L1 has no trace of the key", S)            \
    X(MISS_OF_ABSENT, "miss_of_absent",                                                            \
      "misses, the same: known not to exist, until that expired", S)                               \
    X(MISS_OF_EXPIRED, "miss_of_expired", "misses, the same: its lifetimes had ended", S)          \
    X(MISS_OF_EVICTED, "miss_of_evicted", "misses, the same: evicted, or refused for room", S)     \
    X(MISS_OF_CHANGED, "miss_of_changed", "misses, the same: invalidated, put or written", S)      \
    X(MISS_OF_OTHER, "miss_of_other", "misses, the same: not good, too large, or a load failed", S)\
    X(READ_ABSENT, "read_absent", "reads answered by L1 or a flight: known not to exist", S)       \
    X(READ_ERROR, "read_error", "reads that ended with an error", E)                               \
    X(VALUE_COPIED, "value_copied", "values handed out as copies: no memory for more pins", S)     \
    /* flights and loads */                                                                        \
    X(FLIGHT_LED, "flight_led", "misses that started a flight", S)                                 \
    X(FLIGHT_JOINED, "flight_joined", "misses that joined a flight", S)                            \
    X(FLIGHT_BUSY, "flight_busy", "calls refused: too many waiters on the key", S)                 \
    X(FLIGHT_DEADLOCK, "flight_deadlock",                                                          \
      "calls refused: a loader would have waited for itself", S)                                   \
    X(FLIGHT_REPLACED, "flight_replaced", "flights given a new leader: the first one was lost", S) \
    X(ASYNC_BEGUN, "async_begun", "calls that were pending: their answers come by a queue", E)     \
    X(ASYNC_BUSY, "async_busy", "calls refused: async.max are pending, or not polled", E)          \
    X(ASYNC_CANCELLED, "async_cancelled", "pending calls cancelled", E)                            \
    X(LOAD, "load", "calls of the loader", S)                                                      \
    X(LOAD_FAILED, "load_failed", "loads that gave an error or no answer", S)                      \
    X(LOAD_OVERRUN, "load_overrun", "loads that ended after their deadline", S)                    \
    X(LOAD_DEFERRED, "load_deferred", "loads whose loader has deferred the answer", S)             \
    X(LOAD_UNANSWERED, "load_unanswered", "deferred loads without an answer at their deadline", S) \
    X(LOAD_FORGOTTEN, "load_forgotten",                                                            \
      "deferred loads given up: no answer by twice their time", S)                                 \
    X(LOAD_BUSY, "load_busy", "loads refused: too many at once for the space", S)                  \
    X(REFRESH, "refresh", "flights begun behind a value that was served stale", S)                 \
    X(REFRESH_WASTED, "refresh_wasted", "values of refreshes that have left L1 unread", S)         \
    X(REFRESH_BUSY, "refresh_busy", "stale values left so: space.loads flights have no caller", S) \
    X(ERROR_SERVED, "error_served",                                                                \
      "flights that spared the origin: its last answer was an error", S)                           \
    /* recording */                                                                                \
    X(TRACE_RECORDED, "trace_recorded", "records in trace.file: requests, lifetimes, groups", C)   \
    X(TRACE_DROPPED, "trace_dropped", "requests of recorded keys that found no room on the way", C)\
    /* L1 */                                                                                       \
    X(L1_STORE, "l1_store", "values stored in L1", S)                                              \
    X(L1_REFUSED_FLOOR, "l1_refused_floor",                                                        \
      "stores refused: invalidated since their load began", S)                                     \
    X(L1_REFUSED_VERSION, "l1_refused_version", "stores refused: a newer version is there", S)     \
    X(L1_REFUSED_FULL, "l1_refused_full", "stores refused: no room, and none made", S)             \
    X(L1_REFUSED_POLICY, "l1_refused_policy", "of l1_refused_full: lfu kept what is worth more", S)\
    X(L1_OVERSIZE, "l1_oversize", "values not stored: over the size limit", S)                     \
    X(L1_EVICT, "l1_evict", "entries evicted: for room, and those of l1_shed", S)                  \
    X(L1_SHED, "l1_shed", "of l1_evict: because a cap came down, or pages were given back", S)     \
    X(L1_DROP, "l1_drop", "entries dropped: their space got a table of its own", S)                \
    X(L1_EXPIRE, "l1_expire", "entries removed by time", S)                                        \
    X(L1_REMOVE, "l1_remove", "entries invalidated, or left without a new value by a write", S)    \
    X(L1_MOVE, "l1_move", "entries moved so that sparse pages could be given back", E)             \
    X(L1_GROW, "l1_grow", "doublings of a shard's table", E)                                       \
    X(L1_LONG_CHAIN, "l1_long_chain", "inserts that met the limit of an overflow chain", E)        \
    /* L2 */                                                                                       \
    X(L2_REQUEST, "l2_request", "requests sent to Redis", C)                                       \
    X(L2_TIMEOUT, "l2_timeout", "requests whose reply came too late or never", C)                  \
    X(L2_CONNECT, "l2_connect", "connections made", C)                                             \
    X(L2_CONNECT_FAILED, "l2_connect_failed", "attempts to connect that failed", C)                \
    X(L2_TLS, "l2_tls", "connections that agreed on TLS with the server", C)                       \
    X(L2_TLS_RESUMED, "l2_tls_resumed", "of l2_tls: by the session of an earlier connection", C)   \
    X(L2_TLS_RELOAD, "l2_tls_reload", "times that changed certificates were read anew", C)         \
    X(L2_LOST, "l2_lost", "connections lost or given up", C)                                       \
    X(L2_BAD_REPLY, "l2_bad_reply", "replies malformed or over the limits", C)                     \
    X(L2_BREAKER_OPEN, "l2_breaker_open", "times the breaker opened", C)                           \
    X(L2_REFUSED, "l2_refused",                                                                    \
      "requests refused at once: breaker open, no connection, no room", C)                         \
    X(L2_FILL, "l2_fill", "fills that Redis accepted", S)                                          \
    X(L2_FILL_REFUSED, "l2_fill_refused", "fills refused: token lost, or newer version there", S)  \
    X(L2_OVERSIZE, "l2_oversize", "values kept out of Redis: above its limit, or no room now", S)  \
    X(L2_FILL_ERROR, "l2_fill_error", "fills that failed or were dropped with their connection", S)\
    X(L2_PACKED, "l2_packed", "values compressed for Redis", S)                                    \
    X(L2_PACKED_SAVED, "l2_packed_saved", "bytes by which these became smaller", S)                \
    X(L2_UNPACKABLE, "l2_unpackable", "values left plain: compressing does not save an eighth", S) \
    X(L2_UNPACKED, "l2_unpacked", "values of Redis decompressed", S)                               \
    X(L2_UNPACK_FAILED, "l2_unpack_failed", "values of Redis that this node cannot decompress", S) \
    X(LEASE_FIRST, "lease_first", "lookups in L2 that asked for the lease at once", S)             \
    X(LEASE_GRANTED, "lease_granted", "leases won", S)                                             \
    X(LEASE_HELD, "lease_held", "leases that a load found held by another", S)                     \
    X(LEASE_EXTENDED, "lease_extended", "leases extended for a running load", S)                   \
    X(LEASE_GIVEN_BACK, "lease_given_back",                                                        \
      "leases given back: unfilled, or nobody knows if won", S)                                    \
    X(LEASE_PASSED_BY, "lease_passed_by", "leases of others that a load could not wait for", S)    \
    X(ENVELOPE_BAD, "envelope_bad",                                                                \
      "values in L2 with wrong magic, version, length or checksum", S)                             \
    /* coherence */                                                                                \
    X(INVALIDATE, "invalidate", "invalidations, writes and puts accepted by Redis", C)             \
    X(INVALIDATE_COMBINED, "invalidate_combined", "invalidations that shared a script", C)         \
    X(INVALIDATE_QUEUED, "invalidate_queued",                                                      \
      "invalidations queued: Redis has not accepted yet", C)                                       \
    X(INVALIDATE_RETRIED, "invalidate_retried",                                                    \
      "attempts to issue what is queued, or background", C)                                        \
    X(INVALIDATE_DELIVERED, "invalidate_delivered",                                                \
      "queued ones that waited, accepted by Redis", C)                                             \
    X(INVALIDATE_AGAIN, "invalidate_again",                                                        \
      "invalidations told again, to another clock of Redis", C)                                    \
    X(INVALIDATE_OVERFLOW, "invalidate_overflow", "queued invalidations folded into one of all", C)\
    X(BACKGROUND, "background", "changes left to the background", C)                               \
    X(BACKGROUND_BUSY, "background_busy",                                                          \
      "background changes refused: no room for more of them", C)                                   \
    X(BACKGROUND_LOST, "background_lost", "background values that Redis has not stored", C)        \
    X(FRAME, "frame", "frames heard", C)                                                           \
    X(FRAME_APPLIED, "frame_applied", "invalidations applied from the channel", C)                 \
    X(FRAME_BAD, "frame_bad", "frames with a wrong magic, version or length", C)                   \
    X(FRAME_GAP, "frame_gap", "gaps in the sequence: at once answered by a beat", C)               \
    X(FRAME_LATE, "frame_late", "invalidations that had waited 1 s or more at another node", C)    \
    X(BEAT, "beat", "beats answered", C)                                                           \
    X(BEAT_FAILED, "beat_failed", "beats that failed or were discarded", C)                        \
    X(BEAT_APPLIED, "beat_applied", "invalidations learnt from the log by a beat", C)              \
    X(RESYNC, "resync", "times the trail was lost: all that was stored turned stale", C)           \
    X(LOG_SHORT, "log_short",                                                                      \
      "times that Redis' log did not reach back to what was applied here", C)                      \
    X(REWOUND, "rewound", "times that Redis' history was not the one applied here", C)             \
    X(GROUP_SLOTS_DIFFER, "group_slots_differ", "resyncs in vain: redis has other group_slots", C) \
    X(TRUST_LOST, "trust_lost", "times trust ran out", C)                                          \
    X(LISTENER_CONNECT, "listener_connect", "connections of the listener", C)                      \
    X(LISTENER_LOST, "listener_lost", "connections of the listener lost or given up", C)

/* X(NAME, "export_name", "what is timed"): histograms of each space (histogram.h). Quantiles, sums
 * and counts are told; none of them has a number of its own for nigh_stats_value(). */
#define STATS_HISTOGRAMS(X)                                                                        \
    X(LATENCY_L1, "latency_l1", "plain hits in L1: of each thread about one in 1,024 reads")       \
    X(LATENCY_L2, "latency_l2", "requests for values and leases, sent to answered")                \
    X(LATENCY_LOAD, "latency_load", "loads, from the call of the loader to its answer")            \
    X(LATENCY_WAIT, "latency_wait", "waits of blocking calls for another's flight")                \
    X(LATENCY_CALL, "latency_call", "calls that L1 did not answer, from then to their answers")    \
    X(EVICTED_AGE, "evicted_age", "how long ago the evicted were loaded, one in 16")

/* Histograms of the cache itself: of its link to the other nodes. */
#define STATS_LINK_HISTOGRAMS(X)                                                                   \
    X(LATENCY_CHANGE, "latency_change", "scripts of changes, from their sending to acceptance")    \
    X(LATENCY_HEARD, "latency_heard", "own changes, from being made to being heard, a sample")     \
    X(COHERENCE_LAG, "coherence_lag", "how late changes of all nodes come here, where beats tell")

#endif
