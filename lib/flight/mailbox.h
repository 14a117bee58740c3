/* SPDX-License-Identifier: MIT */
/*
 * Private to flight: the mailbox, which is also the ownership of a flight. See mailbox.c.
 */
#ifndef NIGH_FLIGHT_MAILBOX_H
#define NIGH_FLIGHT_MAILBOX_H

#include "flight/flight.h"

#define FLIGHT_MAIL_HELD (UINT32_C(1) << 31)
/* The mail of a new flight: HELD by its creator, with its first event inside. */
#define FLIGHT_MAIL_FIRST (FLIGHT_MAIL_HELD | FLIGHT_EV_START)
/* Leave events. True: the flight was not HELD; the caller holds it now, with a reference for
 * run(). */
bool flight_mail_post(struct flight *f, uint32_t events);
/* As the holder: take the events that came since the last time, maybe none. */
uint32_t flight_mail_take(struct flight *f);
/* As the holder: leave an event for the next holder. */
void flight_mail_keep(struct flight *f, uint32_t events);
/* As the holder: take an event back that nobody is to see. */
void flight_mail_drop(struct flight *f, uint32_t events);
/* As the holder: sleep until there is mail or the deadline passes (or for no reason). */
void flight_mail_park(struct flight *f, uint64_t deadline_ns);
/* As the holder: give HELD back if there is no mail. False: there is, and you still hold it. */
bool flight_mail_release(struct flight *f);

#endif
