// SPDX-License-Identifier: MIT
/*
 * Pages from SQLite. One statement reads all that a page shows, so it shows one moment.
 */
#include "pages.h"

#include <pthread.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Package i needs three of those before it; its summary and first revision are made up. */
static const char schema[] =
    "BEGIN IMMEDIATE;"
    "CREATE TABLE IF NOT EXISTS package(name TEXT PRIMARY KEY, summary TEXT NOT NULL,"
    "    revision INTEGER NOT NULL UNIQUE) WITHOUT ROWID;"
    "CREATE TABLE IF NOT EXISTS need(package TEXT, other TEXT, PRIMARY KEY(package, other))"
    "    WITHOUT ROWID;"
    "WITH RECURSIVE n(i) AS (VALUES(1) UNION ALL SELECT i + 1 FROM n WHERE i < 2000)"
    "INSERT OR IGNORE INTO package SELECT 'package-' || i, 'what package ' || i || ' is for', i"
    "    FROM n WHERE NOT EXISTS (SELECT 1 FROM need);"
    "WITH RECURSIVE n(i) AS (VALUES(2) UNION ALL SELECT i + 1 FROM n WHERE i < 2000),"
    "    d(k) AS (VALUES(2), (3), (7))"
    "INSERT OR IGNORE INTO need SELECT 'package-' || i, 'package-' || (i / k) FROM n, d"
    "    WHERE i / k > 0;"
    "COMMIT;";

static const char select_page[] =
    "SELECT 0, name, summary, revision FROM package WHERE name = ?1 UNION ALL "
    "SELECT 1, name, summary, revision FROM need JOIN package ON name = other WHERE package = ?1 "
    "ORDER BY 1, 2";

static const char update_package[] =
    "UPDATE package SET summary = ?2, revision = (SELECT max(revision) + 1 FROM package) "
    "WHERE name = ?1 RETURNING revision";

/* A thread's connection and its prepared statements. */
struct connection {
    sqlite3 *db;
    sqlite3_stmt *page, *update;
};

static pthread_key_t connection_key;
static pthread_once_t connection_once = PTHREAD_ONCE_INIT;

/* Runs when a thread ends: loads of nigh's own workers come and go with the cache. */
static void close_connection(void *arg)
{
    struct connection *c = arg;
    sqlite3_finalize(c->page);
    sqlite3_finalize(c->update);
    sqlite3_close(c->db);
    free(c);
}

static void make_key(void)
{
    pthread_key_create(&connection_key, close_connection);
}

static int complain(sqlite3 *db, const char *what)
{
    fprintf(stderr, "%s: %s\n", what, db ? sqlite3_errmsg(db) : "no memory");
    return -1;
}

static int open_database(const char *path, sqlite3 **ret_db)
{
    if (sqlite3_open(path, ret_db) != SQLITE_OK)
        return complain(*ret_db, path);
    sqlite3_busy_timeout(*ret_db, 30000);
    return 0;
}

/* The main thread's is closed by nobody when it returns from main(): the process ends. */
static struct connection *connection_of_thread(const char *path)
{
    pthread_once(&connection_once, make_key);
    struct connection *c = pthread_getspecific(connection_key);
    if (c)
        return c;
    c = calloc(1, sizeof(*c));
    if (!c)
        return NULL;
    if (open_database(path, &c->db) == 0 &&
        sqlite3_prepare_v2(c->db, select_page, -1, &c->page, NULL) == SQLITE_OK &&
        sqlite3_prepare_v2(c->db, update_package, -1, &c->update, NULL) == SQLITE_OK &&
        pthread_setspecific(connection_key, c) == 0)
        return c;
    complain(c->db, path);
    close_connection(c);
    return NULL;
}

int pages_create(const char *path)
{
    sqlite3 *db;
    int rc = open_database(path, &db);
    if (rc == 0 && (sqlite3_exec(db, "PRAGMA journal_mode = wal", NULL, NULL, NULL) != SQLITE_OK ||
                    sqlite3_exec(db, schema, NULL, NULL, NULL) != SQLITE_OK))
        rc = complain(db, path);
    sqlite3_close(db);
    return rc;
}

/* Text may come from outside, so it is escaped where it enters the page. */
static void print_escaped(FILE *out, const unsigned char *text)
{
    for (; text && *text; text++)
        switch (*text) {
        case '<': fputs("&lt;", out); break;
        case '>': fputs("&gt;", out); break;
        case '&': fputs("&amp;", out); break;
        case '"': fputs("&quot;", out); break;
        default: putc(*text, out);
        }
}

/* Write the row of one package: into the page, its name into the names, and as a tag. */
static int show_row(sqlite3_stmt *row, FILE *names, FILE *body, struct nigh_fill *fill)
{
    const unsigned char *name = sqlite3_column_text(row, 1);
    int first = sqlite3_column_int(row, 0) == 0;
    if (!name)
        return NIGH_ENOMEM;
    fprintf(names, first ? "%s" : " %s", (const char *)name);
    fputs(first ? "<h1>" : "<li>", body);
    print_escaped(body, name);
    fprintf(body, " revision %lld: ", (long long)sqlite3_column_int64(row, 3));
    print_escaped(body, sqlite3_column_text(row, 2));
    fputs(first ? "</h1>\n<ul>\n" : "</li>\n", body);
    return nigh_fill_add_tag(fill, (const char *)name);
}

/* Returns how many rows the page has, or an error below 0. */
static int show_rows(struct connection *c, FILE *names, FILE *body, struct nigh_fill *fill)
{
    sqlite3_int64 version = 0;
    int rows = 0, rc = 0, step = SQLITE_DONE;
    fputs("<!doctype html><meta charset=utf-8>\n", body);
    while (rc == 0 && (step = sqlite3_step(c->page)) == SQLITE_ROW) {
        sqlite3_int64 revision = sqlite3_column_int64(c->page, 3);
        version = revision > version ? revision : version;
        rc = show_row(c->page, names, body, fill);
        rows++;
    }
    fputs("</ul>\n", body);
    putc(0, names); /* ends the names; the body follows */
    sqlite3_reset(c->page);
    if (rc == 0 && step != SQLITE_DONE)
        return complain(c->db, "a page");
    if (rc == 0)
        rc = nigh_fill_set_version(fill, (uint64_t)version);
    return rc == 0 ? rows : rc;
}

/* Names and body grow apart, and are one value in the end. */
static int answer(struct connection *c, struct nigh_fill *fill)
{
    char *names = NULL, *body = NULL;
    size_t names_len = 0, body_len = 0;
    FILE *names_out = open_memstream(&names, &names_len);
    FILE *body_out = open_memstream(&body, &body_len);
    int rc = names_out && body_out ? show_rows(c, names_out, body_out, fill) : NIGH_ENOMEM;
    int failed = (names_out && fclose(names_out) != 0) | (body_out && fclose(body_out) != 0);
    char *all = rc > 0 && !failed ? realloc(names, names_len + body_len) : NULL;
    if (all) {
        memcpy(all + names_len, body, body_len);
        rc = nigh_fill_value(fill, all, names_len + body_len);
        names = all;
    } else if (rc == 0) {
        rc = nigh_fill_absent(fill);
    } else if (rc > 0) {
        rc = NIGH_ENOMEM;
    }
    free(names);
    free(body);
    return rc;
}

int pages_load(void *arg, struct nigh_fill *const fills[], size_t n)
{
    struct connection *c = connection_of_thread(arg);
    size_t len;
    const void *name = nigh_fill_key(fills[0], &len);
    (void)n;
    if (!c)
        return NIGH_ENOMEM; /* a fill without an answer has failed, with this error */
    if (sqlite3_bind_text(c->page, 1, name, (int)len, SQLITE_STATIC) != SQLITE_OK)
        return complain(c->db, "a page");
    return answer(c, fills[0]);
}

long long pages_update(const char *path, const char *name, size_t name_len, const char *summary,
                       size_t summary_len)
{
    struct connection *c = connection_of_thread(path);
    if (!c)
        return -1;
    sqlite3_bind_text(c->update, 1, name, (int)name_len, SQLITE_STATIC);
    sqlite3_bind_text(c->update, 2, summary, (int)summary_len, SQLITE_STATIC);
    int step = sqlite3_step(c->update);
    long long revision = step == SQLITE_ROW ? sqlite3_column_int64(c->update, 0) : 0;
    if (step == SQLITE_ROW)
        step = sqlite3_step(c->update); /* the commit */
    int failed = step != SQLITE_DONE && complain(c->db, "an update");
    sqlite3_reset(c->update);
    return failed ? -1 : revision;
}

int page_of(const struct nigh_value *value, struct page *ret_page)
{
    const char *names = value->data;
    const char *end = value->len ? memchr(names, 0, value->len) : NULL;
    if (!end)
        return -1;
    size_t names_len = (size_t)(end - names) + 1;
    *ret_page = (struct page){names, end + 1, value->len - names_len};
    return 0;
}
