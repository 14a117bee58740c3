/* SPDX-License-Identifier: MIT */
/*
 * The origin of the example servers: packages in an SQLite database, and the page of each.
 *
 * A page shows a package and those that it needs, so it has to go when any of them changes: the
 * page's tags are their names. Each update of a package gets the next revision of the whole
 * database, so the highest revision on a page is a version of that page: it can only rise.
 *
 * What is cached of a page is the body of the answer, and before it the names, ended by NUL, as a
 * Surrogate-Key header wants them: the body can be sent from where it lies in the cache.
 */
#ifndef EXAMPLE_PAGES_H
#define EXAMPLE_PAGES_H

#include <stddef.h>

#include <nigh/nigh.h>

/* Make the database and its 2,000 packages, unless it is there. Returns 0; -1: SQLite failed, and
 * stderr says why. */
int pages_create(const char *path);

/**
 * The loader (nigh_loader_fn) of the space of pages: its keys are names of packages.
 *
 * @param arg   the path of the database; each thread opens its own connection and keeps it until
 *              the thread ends
 */
int pages_load(void *arg, struct nigh_fill *const fills[], size_t n);

/* Commit a new summary of a package. Returns its new revision; 0: there is no such package; -1: the
 * database failed, and nothing was committed. */
long long pages_update(const char *path, const char *name, size_t name_len, const char *summary,
                       size_t summary_len);

/* A cached page, taken apart. Valid as long as the value. */
struct page {
    const char *names; /* ended by NUL, with a blank between two */
    const char *body;
    size_t body_len;
};

/* Returns 0; -1: the value is no page (somebody else wrote it to Redis). */
int page_of(const struct nigh_value *value, struct page *ret_page);

#endif
