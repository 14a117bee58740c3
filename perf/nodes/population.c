// SPDX-License-Identifier: MIT
/*
 * Reading names, edges and weights out of the catalogue once, at the start of a process.
 */
#include "nodes/population.h"

#include <stdlib.h>

#include "nodes/database.h"
#include "support/fail.h"
#include "support/name_map.h"

static uint32_t number(sqlite3 *db, const char *sql)
{
    sqlite3_stmt *s = database_prepare(db, sql);
    uint32_t n = (uint32_t)database_number(s);
    sqlite3_finalize(s);
    return n;
}

/* Rows are (name), in the order of keys. */
static void read_names(struct population *p, sqlite3 *db)
{
    sqlite3_stmt *s = database_prepare(
        db, "SELECT * FROM (SELECT name FROM package ORDER BY id)"
            " UNION ALL SELECT * FROM (SELECT name FROM absent ORDER BY id)");
    char *at = p->text;
    for (uint32_t key = 1; database_step(s); key++) {
        struct text name = database_text(s, 0);
        memcpy(at, name.data, name.len);
        p->names[key] = (struct text){at, name.len};
        *name_map_at(p->by_name, p->names[key]) = key;
        at += name.len;
    }
    sqlite3_finalize(s);
}

static void read_edges(struct population *p, sqlite3 *db, uint32_t *dependants)
{
    sqlite3_stmt *s = database_prepare(db, "SELECT package, target FROM edge"
                                           " WHERE target IS NOT NULL ORDER BY package, position");
    uint32_t count = 0, package = 0;
    while (database_step(s)) {
        uint32_t from = (uint32_t)sqlite3_column_int64(s, 0);
        uint32_t to = (uint32_t)sqlite3_column_int64(s, 1);
        while (package < from)
            p->edge_start[++package] = count;
        p->edges[count++] = to;
        dependants[to - 1]++;
    }
    while (package <= p->packages)
        p->edge_start[++package] = count;
    sqlite3_finalize(s);
}

static void read_popularity(struct population *p, sqlite3 *db)
{
    uint32_t *weights = must_alloc(p->keys + 1, sizeof(*weights));
    for (uint32_t i = 0; i < p->packages; i++)
        weights[i] = 1;
    read_edges(p, db, weights);
    sampler_init(&p->popular, weights, p->packages);
    uint32_t absent = 0;
    sqlite3_stmt *s = database_prepare(db, "SELECT mentions FROM absent ORDER BY id");
    while (database_step(s))
        weights[absent++] = (uint32_t)sqlite3_column_int64(s, 0);
    if (absent)
        sampler_init(&p->absent, weights, absent);
    sqlite3_finalize(s);
    free(weights);
}

struct population *population_open(const char *catalogue)
{
    sqlite3 *db = database_open(catalogue);
    struct population *p = must_alloc(1, sizeof(*p));
    p->packages = number(db, "SELECT count(*) FROM package");
    p->keys = p->packages + number(db, "SELECT count(*) FROM absent");
    p->names = must_alloc(p->keys + 1, sizeof(*p->names));
    p->by_name = must_alloc(1, sizeof(*p->by_name));
    p->text = must_alloc(number(db, "SELECT (SELECT total(length(name)) FROM package) +"
                                    " (SELECT total(length(name)) FROM absent)"), 1);
    p->edge_start = must_alloc(p->packages + 2, sizeof(*p->edge_start));
    p->edges = must_alloc(number(db, "SELECT count(*) FROM edge"), sizeof(*p->edges));
    read_names(p, db);
    read_popularity(p, db);
    database_close(db);
    return p;
}

void population_close(struct population *p)
{
    if (!p)
        return;
    sampler_free(&p->popular);
    sampler_free(&p->absent);
    name_map_free(p->by_name);
    free(p->by_name);
    free(p->names);
    free(p->edge_start);
    free(p->edges);
    free(p->text);
    free(p);
}

uint32_t population_find(const struct population *p, struct text name)
{
    return name_map_find(p->by_name, name);
}
