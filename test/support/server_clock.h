/* SPDX-License-Identifier: MIT */
/*
 * server_clock.h - a redis-server whose wall clock a test sets.
 *
 *     server_clock_start(&server, NULL);
 *     server_clock_move(&server, -86400);   // a day earlier than it is
 *
 * Its time moves at once, for what it reads from then on; its timers do not. A restart forgets it.
 */
#ifndef NIGH_TEST_SERVER_CLOCK_H
#define NIGH_TEST_SERVER_CLOCK_H

#define SERVER_CLOCK_FILE "clock" /* in the server's folder */

struct redis;
void server_clock_start(struct redis *server, char *const *args);
void server_clock_move(const struct redis *server, long long seconds);

#endif
