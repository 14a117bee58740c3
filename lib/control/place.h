/* SPDX-License-Identifier: MIT */
/*
 * The file of the control socket: nobody else's at any moment, and taken over from the dead only.
 */
#ifndef NIGH_CONTROL_PLACE_H
#define NIGH_CONTROL_PLACE_H

#include <stdbool.h>
#include <sys/stat.h>
#include <sys/un.h>

#define PLACE_BYTES (sizeof(((struct sockaddr_un *)0)->sun_path))

/* One thread at a time. */
struct place {
    char path[PLACE_BYTES]; /* {pid} is replaced */
    char beside[PLACE_BYTES]; /* a name in the same folder, for the time of opening */
    bool ours;              /* the file is there, and was made by us: */
    dev_t device;
    ino_t inode;
};

/* Errors: NIGH_EOPTION (explained): not absolute, or too long. */
int place_init(struct place *p, const char *path);
/* Make the file and listen. Returns the descriptor; < 0: `why` says what is in the way. */
int place_listen(struct place *p, char *why, size_t size);
/* Whether the file that was made is gone, or another is in its place. */
bool place_is_lost(const struct place *p);
/* Remove the file, if it is still the one that was made. */
void place_leave(struct place *p);

#endif
