/* SPDX-License-Identifier: MIT */
/*
 * What reading shares with the loader's side: the thread's last loader error.
 */
#ifndef NIGH_CACHE_READ_H
#define NIGH_CACHE_READ_H

/* Behind nigh_load_error(). */
void cache_set_load_error(int error);

#endif
