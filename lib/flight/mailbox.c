// SPDX-License-Identifier: MIT
/*
 * The mailbox of a flight: one word that holds its events and says whether somebody steps it.
 *
 *   bit 31   HELD    somebody steps the flight, or it lies in the host's run queue, or it is
 *                    leaderless: whatever it is, somebody will look, a poster has nothing to do
 *   bit 30   PARKED  the holder sleeps on this word (or is about to)
 *   0 .. 29  events  posted and not yet taken
 *
 * Why one word: "is there mail" and "does somebody hold it" must be one question. With two, a
 * holder that looked (no mail), a poster that then looked (held), and the holder letting go leave
 * an event that nobody ever takes.
 *
 * One holder at a time. HELD is set by exactly one of: creation, and a post that found it clear.
 *   The poster that set it owns it, because every read-modify-write of a word sees the one before.
 * No event is lost. An event is added by fetch_or(event | HELD). It found HELD either
 *   - clear: the poster is the holder now and queues the flight, which will take the event; or
 *   - set: the holder cannot have released since, because release is a compare-and-swap from "HELD
 *     and nothing else" and the event makes it fail. So the holder takes the event before it lets
 *     go, or lets go with it: by handing the flight, still HELD, to the workers.
 * No sleep over mail. PARKED is set by a compare-and-swap from "HELD and nothing else", and the
 *   futex sleeps only while the word is still "HELD | PARKED". A post before the swap makes it
 *   fail, one between swap and sleep makes the kernel refuse, one after it sees PARKED and wakes.
 * No use after free. HELD carries a reference, and a poster has one too (its own, or the table's
 *   while it holds the shard lock), so both may touch the word. The wake of a poster may come after
 *   the holder was woken otherwise and has parked again: that wake is spurious, and harmless.
 *
 * Ordering (pair(flight.mail)): a post is release, a take is acquire: the answer that an I/O thread
 * left in the record is seen by the stepper. Several posts before one take form a release sequence,
 * so all are seen. The release of HELD is release and the post that takes HELD over is acquire:
 * what the last holder wrote is seen by the next one.
 *
 * test/model/flight.pml has the same steps, for every interleaving.
 */
#include "flight/mailbox.h"

#define MAIL_HELD FLIGHT_MAIL_HELD
#define MAIL_PARKED (UINT32_C(1) << 30)
#define MAIL_EVENTS (MAIL_PARKED - 1)

bool flight_mail_post(struct flight *f, uint32_t events)
{
    NIGH_DCHECK(events != 0 && (events & ~MAIL_EVENTS) == 0);
    /* pair(flight.mail): release what the poster wrote; acquire what the last holder did. */
    uint32_t old = atomic_fetch_or_explicit(&f->mail, events | MAIL_HELD, memory_order_acq_rel);
    if (!(old & MAIL_HELD)) {
        flight_ref(f);
        return true;
    }
    if (old & MAIL_PARKED)
        park_wake(f->env->park, &f->mail, 1);
    return false;
}

uint32_t flight_mail_take(struct flight *f)
{
    /* pair(flight.mail): acquire what the posters wrote. */
    return atomic_fetch_and_explicit(&f->mail, MAIL_HELD, memory_order_acquire) & MAIL_EVENTS;
}

void flight_mail_keep(struct flight *f, uint32_t events)
{
    atomic_fetch_or_explicit(&f->mail, events, memory_order_relaxed); /* HELD's path orders it */
}

void flight_mail_drop(struct flight *f, uint32_t events)
{
    atomic_fetch_and_explicit(&f->mail, ~events, memory_order_relaxed);
}

void flight_mail_park(struct flight *f, uint64_t deadline_ns)
{
    uint32_t expected = MAIL_HELD;
    if (!atomic_compare_exchange_strong_explicit(&f->mail, &expected, MAIL_HELD | MAIL_PARKED,
                                                 memory_order_relaxed, memory_order_relaxed))
        return;
    park_wait(f->env->park, &f->mail, MAIL_HELD | MAIL_PARKED, deadline_ns);
    atomic_fetch_and_explicit(&f->mail, ~MAIL_PARKED, memory_order_relaxed);
}

bool flight_mail_release(struct flight *f)
{
    uint32_t expected = MAIL_HELD;
    /* pair(flight.mail): release the record to whoever takes HELD next. */
    return atomic_compare_exchange_strong_explicit(&f->mail, &expected, 0, memory_order_release,
                                                   memory_order_relaxed);
}
