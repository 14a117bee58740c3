/* SPDX-License-Identifier: MIT */
/*
 * tree.h - a folder that stands for /, with the files that a test writes into it.
 *
 *     struct tree t;
 *     tree_begin(&t);
 *     tree_write(&t, "proc/self/cgroup", "0::/a");
 *     ... t.root ...
 *     tree_end(&t);
 */
#ifndef NIGH_TEST_TREE_H
#define NIGH_TEST_TREE_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "support/check.h"

#define TREE_PATH_BYTES 512

/* A root of its own, with a file at each path that a case writes. */
struct tree {
    char root[64];
};

static inline void tree_begin(struct tree *t)
{
    strcpy(t->root, "/tmp/nigh-tree-XXXXXX");
    REQUIRE(mkdtemp(t->root));
}

static inline void tree_write(struct tree *t, const char *path, const char *text)
{
    char full[TREE_PATH_BYTES];
    snprintf(full, sizeof(full), "%s/%s", t->root, path);
    char *slash = full + strlen(t->root);
    while ((slash = strchr(slash + 1, '/'))) {
        *slash = '\0';
        mkdir(full, 0700);
        *slash = '/';
    }
    FILE *f = fopen(full, "we");
    REQUIRE(f);
    fputs(text, f);
    fclose(f);
}

static inline void tree_end(struct tree *t)
{
    char command[TREE_PATH_BYTES];
    snprintf(command, sizeof(command), "rm -rf '%s'", t->root);
    REQUIRE_EQ(system(command), 0);
}

#endif
