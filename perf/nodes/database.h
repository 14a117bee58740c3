/* SPDX-License-Identifier: MIT */
/*
 * SQLite without error paths: what fails ends the process with SQLite's own words.
 */
#ifndef PERF_DATABASE_H
#define PERF_DATABASE_H

#include <sqlite3.h>
#include <stdint.h>

#include "support/text.h"

/* Open or make a database; waits for locks. One connection per thread. */
sqlite3 *database_open(const char *path);
void database_close(sqlite3 *db);

void database_run(sqlite3 *db, const char *sql);
sqlite3_stmt *database_prepare(sqlite3 *db, const char *sql);

/* The text is not copied: it must stay until the statement is stepped. */
void database_bind_text(sqlite3_stmt *s, int at, struct text t);
void database_bind_id(sqlite3_stmt *s, int at, int64_t value);

/* True: a row is there. False: done; the statement is reset. */
bool database_step(sqlite3_stmt *s);
/* For statements without rows. */
void database_do(sqlite3_stmt *s);
/* The single number that a query gives; fails when there is no row. */
int64_t database_number(sqlite3_stmt *s);

static inline struct text database_text(sqlite3_stmt *s, int column)
{
    const char *data = (const char *)sqlite3_column_text(s, column);
    return (struct text){data, (size_t)sqlite3_column_bytes(s, column)};
}

#endif
