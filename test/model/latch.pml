// SPDX-License-Identifier: MIT
/*
 * Model of the latch of lib/base/latch.h: THREADS threads that enter and leave, some of them once
 * more. Every interleaving.
 *
 *     spin -a latch.pml && gcc -O2 -DSAFETY -o pan pan.c && ./pan -m1000000
 *
 * in an empty folder, since it leaves files behind; "errors: 0" is expected. Options of spin:
 *
 *     -DTHREADS=n, -DROUNDS=n    3 and 2 by default
 *     -DMUTANT=n    breaks it, each must give "errors: 1":
 *                   1 who was asleep enters with 1       3 leaves in two steps: looks, then frees
 *                   2 the kernel does not compare        4 does not wake
 *
 * The kernel's compare and sleep is one step, as is its wake, which finds who sleeps, or nobody. (A
 * wake for no reason is not tried: it would hide one that is missing.) Sequential consistency: that acquire and release are enough is
 * judged by ThreadSanitizer (test/torture/00base_latches.c).
 *
 * Checked: one holder at a time; and when nothing can move any more, all have been through.
 */
#ifndef THREADS
#define THREADS 3
#endif
#ifndef ROUNDS
#define ROUNDS 2
#endif
#ifndef MUTANT
#define MUTANT 0
#endif

#define FREE 0
#define HELD 1
#define AWAITED 2

byte word = FREE;
byte holders; /* ghost */
byte done;    /* ghost: rounds of all threads */
bool asleep[THREADS];
byte i; /* of init */

/* latch_lock_slow(), without the looks, which change nothing. */
inline lock_slow() {
    do
    :: atomic { was = word; word = (MUTANT == 1 && slept -> HELD : AWAITED) };
        if
        :: was == FREE -> break
        :: else
        fi;
        atomic { /* futex: compare and sleep */
            slept = true;
            if
            :: MUTANT == 2 || word == AWAITED -> asleep[me] = true
            :: else
            fi
        };
        !asleep[me]
    od
}

inline wake_one() {
    atomic {
        if
        :: asleep[0] -> asleep[0] = false
        :: asleep[1] -> asleep[1] = false
        :: THREADS > 2 && asleep[2 % THREADS] -> asleep[2 % THREADS] = false
        :: else
        fi
    }
}

inline unlock() {
    if
    :: MUTANT == 3 -> was = word; word = FREE
    :: else -> atomic { was = word; word = FREE }
    fi;
    if
    :: was == AWAITED && MUTANT != 4 -> wake_one()
    :: else
    fi
}

proctype thread(byte me) {
    byte was, round;
    bool slept;
    do
    :: round < ROUNDS ->
        slept = false;
        atomic {
            was = word;
            if
            :: was == FREE -> word = HELD
            :: else
            fi
        };
        if
        :: was != FREE -> lock_slow()
        :: else
        fi;
        holders++;
        assert(holders == 1);
        holders--;
        unlock();
        round++;
        done++
    :: else -> break
    od
}

init {
    atomic {
        for (i : 0 .. THREADS - 1) { run thread(i) }
    };
    timeout; /* nothing can move any more */
    assert(done == THREADS * ROUNDS)
}
