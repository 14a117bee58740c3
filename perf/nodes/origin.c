// SPDX-License-Identifier: MIT
/*
 * The queries of a package page, in one read transaction.
 *
 * The closure is walked in full for its count, however many names are shown; it is what makes a
 * page dear (0.1 ms as a rule, several ms for what depends on half the catalogue).
 */
#include "nodes/origin.h"

#include "nodes/database.h"
#include "nodes/page.h"
#include "support/fail.h"

enum query {
    BEGIN,
    COMMIT,
    RECORD,
    DIRECT,
    CLOSURE,
    REVERSE,
    REVERSE_COUNT,
    WRITE,
    UPDATE,
    QUERY_COUNT
};

/* CROSS JOIN fixes the order of the loops: SQLite 3.46 would rather scan all packages for the names
 * of a closure (16 ms instead of 0.2). */
static const char *const queries[QUERY_COUNT] = {
    [BEGIN] = "BEGIN",
    [COMMIT] = "COMMIT",
    [RECORD] = "SELECT p.id, p.version, coalesce(v.revision, 1), r.text FROM package p"
               " JOIN record r ON r.package = p.id LEFT JOIN revision v ON v.package = p.id"
               " WHERE p.name = ?1",
    [DIRECT] = "SELECT e.name, t.id, t.name, t.version, coalesce(v.revision, 1) FROM edge e"
               " LEFT JOIN package t ON t.id = e.target LEFT JOIN revision v ON v.package = t.id"
               " WHERE e.package = ?1 ORDER BY e.position",
    [CLOSURE] = "WITH RECURSIVE closure(id) AS (SELECT target FROM edge WHERE package = ?1"
                " UNION SELECT e.target FROM closure c CROSS JOIN edge e ON e.package = c.id)"
                " SELECT p.name FROM closure CROSS JOIN package p ON p.id = closure.id"
                " WHERE closure.id <> ?1",
    [REVERSE] = "SELECT p.name FROM edge e CROSS JOIN package p ON p.id = e.package"
                " WHERE e.target = ?1 ORDER BY e.package LIMIT 100",
    [REVERSE_COUNT] = "SELECT count(*) FROM edge WHERE target = ?1",
    [WRITE] = "BEGIN IMMEDIATE",
    [UPDATE] = "INSERT INTO revision VALUES(?1, 2)"
               " ON CONFLICT DO UPDATE SET revision = revision + 1 RETURNING revision",
};

struct origin {
    sqlite3 *db;
    sqlite3_stmt *statements[QUERY_COUNT];
    struct page_buffer page;
    char **tags; /* owned: copies that outlive their rows */
    uint32_t tag_count, tag_capacity;
};

_Static_assert(PAGE_NAMES_SHOWN == 100, "the LIMIT of the reverse query says 100");

void origin_create(const char *revisions)
{
    sqlite3 *db = database_open(revisions);
    database_run(db, "PRAGMA journal_mode=WAL"); /* kept in the file */
    database_run(db, "CREATE TABLE"
                     " revision(package INTEGER PRIMARY KEY, revision INTEGER NOT NULL)");
    database_close(db);
}

/* synchronous=NORMAL: a commit survives a crash of the process, and takes 20 to 50 us. Mapped, the
 * catalogue is read without a system call per page. */
static void attach(sqlite3 *db, const char *catalogue)
{
    char *sql = must_print("ATTACH 'file:%s?immutable=1' AS catalogue", catalogue);
    database_run(db, "PRAGMA synchronous=NORMAL");
    database_run(db, sql);
    database_run(db, "PRAGMA catalogue.mmap_size=1073741824");
    free(sql);
}

struct origin *origin_open(const char *revisions, const char *catalogue)
{
    struct origin *o = must_alloc(1, sizeof(*o));
    o->db = database_open(revisions);
    attach(o->db, catalogue);
    for (int i = 0; i < QUERY_COUNT; i++)
        o->statements[i] = database_prepare(o->db, queries[i]);
    return o;
}

static void clear_tags(struct origin *o)
{
    while (o->tag_count)
        free(o->tags[--o->tag_count]);
}

void origin_close(struct origin *o)
{
    if (!o)
        return;
    for (int i = 0; i < QUERY_COUNT; i++)
        sqlite3_finalize(o->statements[i]);
    database_close(o->db);
    clear_tags(o);
    free(o->tags);
    page_free(&o->page);
    free(o);
}

static void add_tag(struct origin *o, struct text name)
{
    if (o->tag_count == o->tag_capacity) {
        o->tag_capacity = o->tag_capacity ? o->tag_capacity * 2 : 64;
        o->tags = must_grow(o->tags, o->tag_capacity, sizeof(*o->tags));
    }
    o->tags[o->tag_count++] = must_print("%.*s", (int)name.len, name.data);
}

static sqlite3_stmt *about(struct origin *o, enum query query, uint32_t package)
{
    database_bind_id(o->statements[query], 1, package);
    return o->statements[query];
}

/* A name that is satisfied by another package (a virtual one) is shown with it. */
static void add_direct(struct origin *o, uint32_t package)
{
    sqlite3_stmt *s = about(o, DIRECT, package);
    while (database_step(s)) {
        struct text wanted = database_text(s, 0), target = database_text(s, 2);
        const char *version = (const char *)sqlite3_column_text(s, 3);
        uint32_t revision = (uint32_t)sqlite3_column_int64(s, 4);
        page_print(&o->page, "depends %.*s", (int)wanted.len, wanted.data);
        if (!target.data) {
            page_print(&o->page, " (nothing provides it)\n");
            continue;
        }
        if (target.len != wanted.len || memcmp(target.data, wanted.data, wanted.len) != 0)
            page_print(&o->page, " by %.*s", (int)target.len, target.data);
        page_print(&o->page, " %s #%u\n", version, revision);
        page_add_version(&o->page, (uint32_t)sqlite3_column_int64(s, 1), revision);
        add_tag(o, target);
    }
}

/* The first names that the query gives; returns how many it gave in all. */
static uint32_t add_names(struct origin *o, sqlite3_stmt *s)
{
    uint32_t count = 0;
    while (database_step(s)) {
        if (count++ >= PAGE_NAMES_SHOWN)
            continue;
        page_append(&o->page, text_of(" "));
        page_append(&o->page, database_text(s, 0));
    }
    return count;
}

static void add_closure(struct origin *o, uint32_t package)
{
    page_print(&o->page, "closure");
    uint32_t count = add_names(o, about(o, CLOSURE, package));
    page_print(&o->page, " (%u)\n", count);
}

static void add_reverse(struct origin *o, uint32_t package)
{
    page_print(&o->page, "needed by");
    add_names(o, about(o, REVERSE, package));
    page_print(&o->page, " (%u)\n",
               (uint32_t)database_number(about(o, REVERSE_COUNT, package)));
}

static void build_page(struct origin *o, struct text name)
{
    sqlite3_stmt *s = o->statements[RECORD];
    uint32_t package = (uint32_t)sqlite3_column_int64(s, 0);
    uint32_t revision = (uint32_t)sqlite3_column_int64(s, 2);
    page_clear(&o->page);
    page_add_version(&o->page, package, revision);
    page_print(&o->page, "%.*s %s #%u\n", (int)name.len, name.data,
               (const char *)sqlite3_column_text(s, 1), revision);
    add_direct(o, package);
    add_closure(o, package);
    add_reverse(o, package);
    page_append(&o->page, text_of("\n"));
    page_append(&o->page, database_text(s, 3));
}

bool origin_load(struct origin *o, struct text name, struct origin_page *ret)
{
    sqlite3_stmt *record = o->statements[RECORD];
    clear_tags(o);
    database_do(o->statements[BEGIN]);
    database_bind_text(record, 1, name);
    bool found = database_step(record);
    if (found)
        build_page(o, name);
    sqlite3_reset(record);
    database_do(o->statements[COMMIT]);
    if (found)
        *ret = (struct origin_page){page_finish(&o->page), (const char *const *)o->tags,
                                    o->tag_count};
    return found;
}

uint32_t origin_update(struct origin *o, uint32_t package)
{
    database_do(o->statements[WRITE]);
    uint32_t revision = (uint32_t)database_number(about(o, UPDATE, package));
    database_do(o->statements[COMMIT]);
    return revision;
}
