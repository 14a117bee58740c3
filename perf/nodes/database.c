// SPDX-License-Identifier: MIT
/*
 * SQLite without error paths.
 */
#include "nodes/database.h"

#include "support/fail.h"

#define LOCK_WAIT_MS 10000

static void expect(sqlite3 *db, int result, int wanted, const char *what)
{
    if (result != wanted)
        fail("sqlite: %s: %s", what, sqlite3_errmsg(db));
}

sqlite3 *database_open(const char *path)
{
    int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_URI | SQLITE_OPEN_NOMUTEX;
    sqlite3 *db;
    if (sqlite3_open_v2(path, &db, flags, NULL) != SQLITE_OK)
        fail("sqlite: cannot open %s: %s", path, db ? sqlite3_errmsg(db) : "no memory");
    sqlite3_busy_timeout(db, LOCK_WAIT_MS);
    return db;
}

void database_close(sqlite3 *db)
{
    sqlite3_close_v2(db);
}

void database_run(sqlite3 *db, const char *sql)
{
    expect(db, sqlite3_exec(db, sql, NULL, NULL, NULL), SQLITE_OK, sql);
}

sqlite3_stmt *database_prepare(sqlite3 *db, const char *sql)
{
    sqlite3_stmt *s;
    int result = sqlite3_prepare_v3(db, sql, -1, SQLITE_PREPARE_PERSISTENT, &s, NULL);
    expect(db, result, SQLITE_OK, sql);
    return s;
}

void database_bind_text(sqlite3_stmt *s, int at, struct text t)
{
    expect(sqlite3_db_handle(s), sqlite3_bind_text(s, at, t.data, (int)t.len, SQLITE_STATIC),
           SQLITE_OK, "bind");
}

void database_bind_id(sqlite3_stmt *s, int at, int64_t value)
{
    expect(sqlite3_db_handle(s), sqlite3_bind_int64(s, at, value), SQLITE_OK, "bind");
}

bool database_step(sqlite3_stmt *s)
{
    int result = sqlite3_step(s);
    if (result == SQLITE_ROW)
        return true;
    expect(sqlite3_db_handle(s), result, SQLITE_DONE, sqlite3_sql(s));
    sqlite3_reset(s);
    return false;
}

void database_do(sqlite3_stmt *s)
{
    while (database_step(s))
        continue;
}

int64_t database_number(sqlite3_stmt *s)
{
    if (!database_step(s))
        fail("sqlite: no row: %s", sqlite3_sql(s));
    int64_t number = sqlite3_column_int64(s, 0);
    sqlite3_reset(s);
    return number;
}
