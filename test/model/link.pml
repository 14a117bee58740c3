// SPDX-License-Identifier: MIT
/*
 * Model of who drives the connection: callers alone, and the I/O thread. Every interleaving.
 *
 *     spin -a link.pml && gcc -O2 -DSAFETY -DCOLLAPSE -o pan pan.c && ./pan -m1000000
 *
 * in an empty folder, since it leaves files behind; "errors: 0" is expected. Options of spin:
 *
 *     -DCALLERS=n      2 by default, each with one request: 110 thousand states; 3: 9 million
 *     -DHOLDS          a read may leave replies in the stream, where the socket does not show them
 *     -DKEPT           the first caller may stand still in a system call for ever
 *     -DLENT           the first caller lends its thread to a request that has a `done`
 *     -DMUTANT=n       breaks the protocol, each must give "errors: 1" (8 to 10 with -DKEPT, 12 and
 *                      13 with -DLENT, 14 with -DHOLDS):
 *                      1 lets go without waking who wants it   6 parks as one who polls
 *                      2 rests without looking at the queue    7 answers a poller by the futex
 *                      3 takes it from one in a system call    8 waits for who stands still
 *                      4 sleeps without saying so              9 touches what was given up
 *                      5 queues without waking                 10 gives up who takes a reply
 *                      11 drives while another still polls
 *                      12 goes on with its frame bound  13 calls `done` and tells no driver
 *                      14 sleeps on what the stream holds
 *
 * The names are those of lib/l2: solo.c (claim, own, await, begin, end), pipeline.c (submit,
 * may_sleep), sync.c (answer, wait). What is done under the lock is one step; a system call is one
 * step too, between two of them. Time is not there: a caller that lets go since it has waited for
 * long may do so at any moment, and the I/O thread gives up one that stands still once it does.
 * Sequential consistency: which acquire and release are needed is judged by ThreadSanitizer.
 *
 * Checked: one drives at a time; no reply is taken twice; nobody touches a connection that was given
 * up, nor the frame of a lender who has gone on; and when nothing can move any more every caller has
 * its answer (but who stands still).
 */
#ifndef CALLERS
#define CALLERS 2
#endif
#ifndef MUTANT
#define MUTANT 0
#endif

#define IO 0
#define NONE 1
#define CALLER 2
#define TAKES 3
#define WAITS 4

#define PARKS 0
#define ANSWERED 1
#define POLLS 2
#define TAKING 3

#define NOBODY 255

byte driver = IO;
byte solo = NOBODY;  /* whose the connection is, with CALLER, TAKES and WAITS */
byte queue, pending; /* sets of requests, a bit for each caller */
byte unsent;         /* of those that are pending: not yet with the server */
byte replies;        /* in the socket ... */
byte taken;          /* ... those that have been there ... */
byte inside;         /* ... and those of them that the stream holds */
byte word[CALLERS];
bool futex[CALLERS]; /* asleep there, or, who has lent its thread, on what `done` sets */
bool bound[CALLERS]; /* the request of who has lent its thread points into its frame */
bool mail[CALLERS];  /* its `done` was called */
bool went_on[CALLERS];
bool asleep, wanted, bell, solo_bell;
bool polled;         /* a caller sleeps on the socket, or may */
bool gone;           /* the connection was given up */
byte done;
byte driving;        /* ghost: who thinks that the connection is his */

#ifdef LENT
#define IS_LENT(n) ((n) == 0)
#else
#define IS_LENT(n) false
#endif

#define BIT(n) (1 << (n))

/* Reads: all, or some of it stays in the stream. */
#ifdef HOLDS
#define READ(got)                                                                                  \
    got = replies | inside;                                                                        \
    if                                                                                             \
    :: inside = 0                                                                                  \
    :: inside = got; got = 0                                                                       \
    :: inside = got & ~BIT(0); got = got & BIT(0)                                                  \
    fi;                                                                                            \
    replies = 0
#else
#define READ(got) got = replies; replies = 0
#endif
#define DRIVE driving++; assert(driving == 1)
#define LET_GO driving--

/* The server: what was sent is answered. */
#define UNANSWERED (pending & ~unsent & ~replies & ~taken)

active proctype server()
{
    byte n;
end:
    do
    :: atomic {
        UNANSWERED != 0;
        select (n : 0 .. CALLERS - 1);
        if
        :: (UNANSWERED & BIT(n)) != 0 -> replies = replies | BIT(n)
        :: else
        fi }
    od
}

/* Publishes an answer, and wakes. hand(), waiter_answer() */
inline answer(who) {
    atomic {
        assert((done & BIT(who)) == 0);
        done = done | BIT(who);
        if
        :: IS_LENT(who) -> mail[who] = true; futex[who] = false
        :: else
        fi
    };
    atomic {
        if
        :: IS_LENT(who) && !bound[who]
#if MUTANT == 13
        :: IS_LENT(who)
#endif
        :: !IS_LENT(who) || bound[who] -> tell(who)
        fi
    }
}

inline tell(who) {
    assert(!went_on[who]);
    bound[who] = false;
    if
#if MUTANT != 7
    :: word[who] == POLLS -> solo_bell = true
    :: word[who] != POLLS -> futex[who] = false
#else
    :: futex[who] = false
#endif
    fi;
    word[who] = ANSWERED
}

inline leave_to_io() {
    wake = asleep || wanted;
    driver = IO;
    solo = NOBODY;
    asleep = false;
    wanted = false
}

inline ring_if_woken() {
    if
#if MUTANT != 1
    :: wake -> bell = true
    :: !wake
#else
    :: skip
#endif
    fi
}

#define LEAVES(leaves) (leaves || wanted || queue != 0 || (holds && word[me] == ANSWERED))

/* end_step_locked() */
inline end_step(leaves) {
    atomic {
        assert(solo == me && driver == TAKES);
        holds = inside != 0;
        LET_GO;
        wake = false;
        if
        :: word[me] == TAKING -> word[me] = POLLS
        :: else
        fi;
        if
        :: LEAVES(leaves) -> leave_to_io()
        :: !LEAVES(leaves) ->
            if
            :: word[me] == ANSWERED -> driver = NONE; solo = NOBODY; polled = false
            :: else -> driver = WAITS
            fi
        fi
    };
    ring_if_woken()
}

/* begin_taking() */
inline begin_taking() {
    atomic {
        mine = solo == me;
        if
        :: mine -> driver = TAKES; word[me] = TAKING
        :: else
        fi
    };
#if MUTANT == 9
    assert(mine)
#endif
}

/* submit_queue() */
inline submit() {
    atomic {
        wake = false;
        mine = false;
        if
        :: gone -> done = done | BIT(me); word[me] = ANSWERED; mail[me] = true
#if MUTANT == 11
        :: !gone && driver == NONE && queue == 0 ->
#else
        :: !gone && driver == NONE && queue == 0 && !polled ->
#endif
            mine = true;
            polled = true;
            DRIVE;
            driver = CALLER; solo = me; word[me] = POLLS; bound[me] = IS_LENT(me);
            pending = pending | BIT(me); unsent = unsent | BIT(me)
        :: else ->
            queue = queue | BIT(me);
#if MUTANT != 5
            wake = asleep;
#endif
            asleep = false
        fi
    };
    if
    :: wake -> bell = true
    :: !wake
    fi
}

#ifdef KEPT
#define MAY_STAND_STILL :: me == 0 -> goto end_still
#else
#define MAY_STAND_STILL
#endif

proctype caller(byte me)
{
    bool wake, mine, leaves, holds;
    byte got;
    submit();
    if
    :: !mine -> goto parks
    :: else
    fi;
    if /* write: all of it, or not */
    :: atomic { skip -> if :: solo == me -> unsent = unsent & ~BIT(me) :: else fi; leaves = false }
    :: leaves = true
    MAY_STAND_STILL
    fi;
    begin_taking();
    if
    :: !mine -> goto polls_no_more
    :: else
    fi;
    end_step(leaves);
    do
    :: word[me] == ANSWERED -> break
    :: word[me] != ANSWERED ->
        if
        :: replies != 0 || solo_bell || holds
        :: atomic { solo == me && driver == WAITS -> leave_to_io() }; /* it lasts */
            ring_if_woken();
            break
        fi;
        solo_bell = false;
        atomic { /* begin_reading() */
            mine = solo == me;
            if
            :: mine -> DRIVE; assert(driver == WAITS); driver = CALLER
            :: else
            fi
        };
        if
        :: !mine -> break
        :: else
        fi;
        if /* read */
        :: atomic { skip -> if :: solo == me -> taken = taken | replies; READ(got)
                               :: else -> got = 0
                               fi }
        MAY_STAND_STILL
        fi;
        begin_taking();
        if
        :: !mine -> break
        :: else
        fi;
        if
        :: (got & BIT(me)) != 0 -> pending = pending & ~BIT(me); answer(me)
        :: else
        fi;
        end_step(false)
    od;
polls_no_more:
    atomic {
        if
        :: mine && word[me] == ANSWERED -> skip /* it has taken its answer itself */
        :: else -> polled = false
        fi
    };
    atomic {
        if
#if MUTANT != 6
        :: word[me] == POLLS || word[me] == TAKING -> word[me] = PARKS
#else
        :: false
#endif
        :: else
        fi
    };
#if MUTANT != 12
    bound[me] = false; /* cut() */
#endif
parks:
    atomic {
        went_on[me] = IS_LENT(me);
        if
        :: (IS_LENT(me) && !mail[me]) || (!IS_LENT(me) && word[me] != ANSWERED) -> futex[me] = true
        :: else
        fi
    };
    !futex[me];
    assert((IS_LENT(me) && mail[me]) || (!IS_LENT(me) && word[me] == ANSWERED));
    goto over;
end_still:
    false; /* but the I/O thread may give it up */
over:
    skip
}

inline answer_all(set) {
    n = 0;
    do
    :: n == CALLERS -> break
    :: n < CALLERS ->
        if
        :: (set & BIT(n)) != 0 -> answer(n)
        :: else
        fi;
        n++
    od
}

active proctype io()
{
    bool wake, own, rests, stay;
    byte got, n;
    do
    :: atomic { /* solo_own() */
        own = driver != CALLER && driver != TAKES;
#if MUTANT == 3
        own = own || driver == CALLER;
#endif
        if
        :: own -> leave_to_io(); DRIVE
        :: else -> wanted = true
        fi
    };
    if
    :: own
    :: !own ->
        atomic { /* solo_await() */
            if
            :: wanted -> asleep = true
            :: else -> bell = true
            fi
        };
end_wanted:
        if
        :: bell
#if defined(KEPT) && MUTANT != 8
#if MUTANT == 10
        :: atomic { wanted && (driver == CALLER || driver == TAKES) ->
#else
        :: atomic { wanted && driver == CALLER ->
#endif
            leave_to_io(); LET_GO; gone = true; replies = 0; inside = 0;
            got = pending | queue; pending = 0; unsent = 0; queue = 0 };
            answer_all(got)
#endif
        fi;
        bell = false;
        goto next
    fi;
    atomic { taken = taken | replies; READ(got); pending = pending & ~got };
    answer_all(got);
    atomic { pending = pending | queue; queue = 0; unsent = 0 }; /* pipeline_send() */
    atomic { /* io_may_sleep() */
        LET_GO;
        asleep = queue == 0 && inside == 0;
        stay = queue != 0 || inside != 0;
#if MUTANT == 14
        asleep = queue == 0;
        stay = queue != 0;
#endif
#if MUTANT == 4
        asleep = false;
#endif
        rests = pending == 0;
#if MUTANT != 2
        rests = rests && !stay;
#endif
        if
        :: rests -> driver = NONE
        :: rests = false /* not calm enough */
        fi
    };
end_sleeps:
    if
    :: bell
    :: !rests && (replies != 0 || stay)
    fi;
    bell = false;
next:
    skip
    od
}

init {
    byte i;
    atomic {
        i = 0;
        do
        :: i == CALLERS -> break
        :: i < CALLERS -> run caller(i); i++
        od
    }
}
