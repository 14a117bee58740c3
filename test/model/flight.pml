// SPDX-License-Identifier: MIT
/*
 * Model of one flight: the mailbox, the leaderless hand-over, the references. Every interleaving.
 *
 *     spin -a flight.pml && gcc -O2 -DSAFETY -DCOLLAPSE -o pan pan.c && ./pan -m1000000
 *
 * in an empty folder, since it leaves files behind; "errors: 0" is expected. Options of spin:
 *
 *     -DPATIENT        callers do not give up (then nobody may hang); without: at any moment
 *     -DFOLLOWERS=n    2 by default: 2.1 million states in 10 s, 43 thousand with -DPATIENT
 *     -DHERE           the reply is a deferred answer: its thread steps the flight if nobody does
 *     -DMUTANT=n       breaks the protocol, each must give "errors: 1" (4 and 7 with -DPATIENT):
 *                      1 clears HELD, then looks for mail     5 poster takes no reference
 *                      2 looks for mail, then clears HELD     6 last caller leaves it leaderless
 *                      3 leaves with mail inside              7 two waiters take over
 *                      4 poster does not wake
 *
 * The names are those of lib/flight: mailbox.c (post, take, park, release), lead.c (hold,
 * wait_for_landing, leave, abandon, land, run, post_here). One leader, FOLLOWERS followers, one
 * worker, and an I/O thread that replies to one request. A step of START either asks (once), or
 * loads and lands, or loads and exits its thread; so does a step of the reply, but a deferred answer
 * only lands. Sequential consistency: which acquire and release are needed is judged by
 * ThreadSanitizer, not here.
 *
 * Checked: one holder at a time; nobody touches a freed record; it is freed once, after the landing;
 * and when nothing can move any more it is freed, the reply was stepped, and nobody is left asleep.
 */
#ifndef FOLLOWERS
#define FOLLOWERS 2
#endif
#ifndef MUTANT
#define MUTANT 0
#endif

#define FLYING 0
#define LANDED 1
#define LEADERLESS 2

bool held = true, parked, start = true, reply; /* the mail word, bit by bit, changed in one step */
byte landed = FLYING;
byte refs = 3 + FOLLOWERS; /* table, HELD, leader, followers */
byte waiters = 1 + FOLLOWERS;
byte replaced;
bool blocking = true;
bool lock; /* of the shard */

byte holders = 1; /* ghost: who thinks it holds the flight; a queued or leaderless one counts */
bool freed, asked, reply_sent, reply_stepped;
byte i; /* of init */
byte queued; /* references in the host's run queue */
byte left;   /* ghost: callers that are through */
bool asleep; /* the holder, in the futex of `mail` */
bool sleeps[FOLLOWERS]; /* the followers, in the futex of `landed` */

#define TOUCH assert(!freed)
#define MAIL (start || reply)

inline unref() {
    atomic {
        TOUCH;
        refs--;
        if
        :: refs == 0 -> assert(landed == LANDED); freed = true
        :: else
        fi
    }
}

inline acquire_lock() { atomic { !lock -> lock = true; TOUCH } }
inline release_lock() { TOUCH; lock = false }

inline give_to_workers() { atomic { TOUCH; blocking = false; queued++ } }

/* flight_post: fetch_or(event | HELD) */
inline post_reply() {
    atomic {
        TOUCH;
        reply = true;
        taken = !held;
        sleeper = held && parked;
        held = true;
        if
        :: taken -> holders++; assert(holders == 1)
        :: else
        fi
    };
    if
    :: sleeper -> atomic {
        TOUCH;
#if MUTANT != 4
        asleep = false
#endif
        }
    :: else
    fi;
    if
    :: taken ->
#if MUTANT != 5
        refs++;
#endif
#ifdef HERE
        skip
#else
        give_to_workers()
#endif
    :: else
    fi
}

/* flight_mail_release; ok says whether it let go */
inline release_mail() {
#if MUTANT == 1 /* clear HELD, then look */
    atomic { TOUCH; held = false; holders-- };
    atomic { ok = !MAIL; if :: !ok -> held = true; holders++; assert(holders == 1) :: else fi }
#elif MUTANT == 2 /* look, then clear HELD */
    ok = !MAIL;
    if
    :: ok -> atomic { TOUCH; held = false; parked = false; holders-- }
    :: else
    fi
#else
    atomic {
        TOUCH;
        ok = !MAIL && !parked;
        if
        :: ok -> held = false; holders--
        :: else
        fi
    }
#endif
}

inline give_back() {
    blocking = false;
    release_mail();
    if
    :: ok -> unref()
#if MUTANT == 3 /* leaves with mail and tells nobody */
    :: else -> atomic { held = false; holders-- }; unref()
#else
    :: else -> give_to_workers()
#endif
    fi
}

inline wake_all() {
    atomic { TOUCH; for (w : 0 .. FOLLOWERS - 1) { sleeps[w] = false } }
}

inline land() {
    acquire_lock();
    callers = waiters;
    release_lock();
    atomic { TOUCH; assert(landed == FLYING); landed = LANDED };
    if
    :: callers > (blocking -> 1 : 0) -> wake_all()
    :: else
    fi;
    unref()
}

/* The step: START asks, or loads and lands, or loads and exits (exiting says so). */
inline step() {
    atomic {
        assert(holders == 1);
        TOUCH;
        got_start = start; got_reply = reply;
        start = false; reply = false; parked = false
    };
    exiting = false;
    if
    :: got_reply -> reply_stepped = true
    :: else
    fi;
    if
    :: landed == LANDED -> skip
    :: landed != LANDED && got_start && !asked -> atomic { asked = true; TOUCH; refs++; reply_sent = true }
    :: landed != LANDED && (got_start || got_reply) -> land()
#ifdef HERE
    :: landed != LANDED && got_start && !got_reply && replaced < 2 -> exiting = true
#else
    :: landed != LANDED && (got_start || got_reply) && replaced < 2 -> exiting = true
#endif
    :: else
    fi
}

/* flight_abandon, by a thread whose frames are gone */
inline abandon() {
    was_blocking = blocking;
    if
    :: !was_blocking -> refs++
    :: else
    fi;
    blocking = false;
    replaced++;
    if
    :: replaced < 2 ->
        start = true;
        acquire_lock();
        if
        :: was_blocking -> waiters--
        :: else
        fi;
        vacant = waiters > 0;
        if
        :: vacant -> landed = LEADERLESS
        :: else
        fi;
        release_lock();
        if
        :: vacant -> wake_all()
        :: else -> give_to_workers()
        fi
    :: else ->
        land();
        start = false;
        give_back()
    fi;
    unref()
}

/* hold: as the holder on a caller's thread. done: it landed; exiting: the thread is gone */
inline hold() {
    blocking = true;
    done = false; exiting = false;
    do
    :: exiting || done -> break
    :: else ->
        if
#ifndef PATIENT
        :: break /* its deadline has passed */
#endif
        :: MAIL -> step()
        :: !MAIL ->
            /* park: PARKED from "HELD and nothing else", then the futex compares and sleeps */
            atomic {
                TOUCH;
                ok = !MAIL;
                if
                :: ok -> parked = true
                :: else
                fi
            };
            if
            :: ok ->
                atomic { TOUCH; asleep = parked && !MAIL };
                if
                :: !asleep -> skip
#ifndef PATIENT
                :: asleep -> asleep = false /* timed out */
#endif
                fi;
                atomic { TOUCH; parked = false }
            :: else
            fi
        fi;
        done = (landed == LANDED)
    od;
    if
    :: exiting -> abandon()
    :: else -> give_back()
    fi
}

inline leave() {
    if
    :: landed == LANDED -> skip
    :: else ->
        acquire_lock();
        waiters--;
        atomic {
            orphan = (waiters == 0 && landed == LEADERLESS);
#if MUTANT == 6
            orphan = false;
#endif
            if
            :: orphan -> landed = FLYING
            :: else
            fi
        };
        release_lock();
        if
        :: orphan -> give_to_workers()
        :: else
        fi
    fi;
    unref()
}

proctype leader() {
    byte callers, w;
    bool ok, got_start, got_reply, exiting, was_blocking, vacant, done, orphan;
    hold();
    if
    :: exiting -> skip /* no leave: abandon did it */
    :: else -> leave()
    fi;
    left++
}

proctype follower(byte id) {
    bool ok, got_start, got_reply, exiting, was_blocking, vacant, done, orphan, mine;
    byte callers, w;
    exiting = false;
    do
    :: atomic { landed == LANDED -> TOUCH; break }
    :: landed == LEADERLESS ->
        atomic {
            TOUCH;
            mine = (landed == LEADERLESS);
#if MUTANT != 7
            if
            :: mine -> landed = FLYING
            :: else
            fi
#endif
        };
#if MUTANT == 7 /* looks, then takes */
        if
        :: mine -> landed = FLYING
        :: else
        fi;
#endif
        if
        :: mine -> hold(); break
        :: else
        fi
    :: landed == FLYING ->
        atomic { TOUCH; sleeps[id] = (landed == FLYING) };
        if
        :: !sleeps[id] -> skip
#ifndef PATIENT
        :: sleeps[id] = false; break /* its deadline has passed */
#endif
        fi
    od;
    if
    :: exiting -> skip
    :: else -> leave()
    fi;
    left++
}

proctype worker() {
    bool ok, got_start, got_reply, exiting, was_blocking, vacant;
    byte callers, w;
end:
    do
    :: atomic { queued > 0 -> queued-- };
        do
        :: step();
            if
            :: exiting -> break
            :: else
            fi;
            release_mail();
            if
            :: ok -> break
            :: else
            fi
        od;
        if
        :: exiting -> abandon() /* its successor goes on in this process */
        :: else -> unref()
        fi
    od
}

/* The I/O thread; or the one that answers, which runs what it has taken (flight_post_here) */
proctype io() {
    bool taken, sleeper;
#ifdef HERE
    bool ok, got_start, got_reply, exiting;
    byte callers, w;
#endif
end:
    reply_sent;
    post_reply();
#ifdef HERE
    do
    :: !taken -> break
    :: taken ->
        step();
        assert(!got_start && !exiting); /* it leads to no loader */
        release_mail();
        if
        :: ok -> unref(); break
        :: else
        fi
    od;
#endif
    unref()
}

init {
    atomic {
        run leader();
        for (i : 0 .. FOLLOWERS - 1) { run follower(i) };
        run worker();
        run io()
    };
    timeout; /* nothing can move any more */
    assert(freed && left == 1 + FOLLOWERS && (!asked || reply_stepped))
}
