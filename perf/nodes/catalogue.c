// SPDX-License-Identifier: MIT
/*
 * From control text to the tables of the catalogue.
 *
 * Three passes over the text in memory: packages get their numbers; virtual names get their best
 * provider; then every clause can be resolved. One transaction writes it all (50 MB in about 2 s).
 */
#include "nodes/catalogue.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "nodes/control.h"
#include "nodes/database.h"
#include "support/fail.h"
#include "support/hash.h"
#include "support/name_map.h"

#define LAYOUT 2 /* raise it when the tables or the resolution of edges change */

static const char schema[] =
    "CREATE TABLE info(layout INTEGER, input_hash INTEGER, input_bytes INTEGER, packages INTEGER,"
    " edges INTEGER, absent_names INTEGER, unsatisfied INTEGER);"
    "CREATE TABLE package(id INTEGER PRIMARY KEY, name TEXT NOT NULL, version TEXT NOT NULL);"
    "CREATE TABLE record(package INTEGER PRIMARY KEY, text TEXT NOT NULL);"
    "CREATE TABLE edge(package INTEGER NOT NULL, position INTEGER NOT NULL, name TEXT NOT NULL,"
    " target INTEGER, PRIMARY KEY(package, position)) WITHOUT ROWID;"
    "CREATE TABLE absent(id INTEGER PRIMARY KEY, name TEXT NOT NULL, mentions INTEGER NOT NULL);";

static const char indexes[] = "CREATE UNIQUE INDEX package_name ON package(name);"
                              "CREATE INDEX edge_target ON edge(target, package);"
                              "ANALYZE;";

struct absent_name {
    struct text name;
    uint32_t mentions;
};

struct builder {
    sqlite3 *db;
    sqlite3_stmt *add_edge;
    struct control_record *packages; /* package n is packages[n - 1] */
    struct name_map names;           /* name -> package */
    struct name_map providers;       /* virtual name -> package */
    struct name_map absent;          /* name -> 1 + index in absent_names */
    struct absent_name *absent_names;
    uint32_t *reached_by; /* package -> the last package that has an edge to it */
    struct catalogue_info info;
};

static bool is_installed(const struct control_record *r)
{
    return r->status.len == 0 || memmem(r->status.data, r->status.len, " installed", 10);
}

/* The first record of a name counts: others are the same package for further architectures. */
static void read_packages(struct builder *b, struct text input)
{
    struct control_record record;
    uint32_t capacity = 0;
    while (control_next(&input, &record)) {
        if (record.package.len == 0 || !is_installed(&record))
            continue;
        uint32_t *number = name_map_at(&b->names, record.package);
        if (*number != NAME_MAP_NONE)
            continue;
        if (b->info.packages == capacity) {
            capacity = capacity ? capacity * 2 : 4096;
            b->packages = must_grow(b->packages, capacity, sizeof(*b->packages));
        }
        b->packages[b->info.packages++] = record;
        *number = b->info.packages;
    }
}

static int priority_rank(const struct control_record *r)
{
    static const char *const order[] = {"required", "important", "standard", "optional"};
    int rank = 0;
    while (rank < 4 && !text_is(r->priority, order[rank]))
        rank++;
    return rank;
}

static void find_providers(struct builder *b)
{
    for (uint32_t id = 1; id <= b->info.packages; id++) {
        const struct control_record *r = &b->packages[id - 1];
        struct text field = r->provides, clause, name;
        while (control_next_clause(&field, &clause)) {
            if (!control_next_name(&clause, &name))
                continue;
            uint32_t *best = name_map_at(&b->providers, name);
            if (*best == NAME_MAP_NONE || priority_rank(r) < priority_rank(&b->packages[*best - 1]))
                *best = id;
        }
    }
}

static uint32_t resolve(const struct builder *b, struct text name)
{
    uint32_t id = name_map_find(&b->names, name);
    return id != NAME_MAP_NONE ? id : name_map_find(&b->providers, name);
}

static void mention_absent(struct builder *b, struct text name)
{
    uint32_t *number = name_map_at(&b->absent, name);
    if (*number == NAME_MAP_NONE) {
        uint32_t index = b->info.absent_names++;
        b->absent_names = must_grow(b->absent_names, index + 1, sizeof(*b->absent_names));
        b->absent_names[index] = (struct absent_name){name, 0};
        *number = index + 1;
    }
    b->absent_names[*number - 1].mentions++;
}

/* The name that counts and what it leads to (NAME_MAP_NONE: nothing). */
static struct text choose(struct builder *b, struct text clause, uint32_t *ret_target)
{
    struct text name, first = {NULL, 0};
    *ret_target = NAME_MAP_NONE;
    while (*ret_target == NAME_MAP_NONE && control_next_name(&clause, &name)) {
        if (name_map_find(&b->names, name) == NAME_MAP_NONE)
            mention_absent(b, name);
        if (!first.data)
            first = name;
        *ret_target = resolve(b, name);
    }
    return *ret_target != NAME_MAP_NONE ? name : first;
}

static void add_edge(struct builder *b, uint32_t id, uint32_t position, struct text name,
                     uint32_t target)
{
    database_bind_id(b->add_edge, 1, id);
    database_bind_id(b->add_edge, 2, position);
    database_bind_text(b->add_edge, 3, name);
    if (target == NAME_MAP_NONE) {
        sqlite3_bind_null(b->add_edge, 4);
        b->info.unsatisfied++;
    } else {
        database_bind_id(b->add_edge, 4, target);
    }
    database_do(b->add_edge);
    b->info.edges++;
}

static uint32_t add_edges_of_field(struct builder *b, uint32_t id, uint32_t position,
                                   struct text field)
{
    struct text clause;
    while (control_next_clause(&field, &clause)) {
        uint32_t target;
        struct text name = choose(b, clause, &target);
        if (!name.data || target == id)
            continue;
        if (target != NAME_MAP_NONE && b->reached_by[target] == id)
            continue;
        b->reached_by[target] = id;
        add_edge(b, id, position++, name, target);
    }
    return position;
}

static void add_all_edges(struct builder *b)
{
    b->reached_by = must_alloc(b->info.packages + 1, sizeof(*b->reached_by));
    b->add_edge = database_prepare(b->db, "INSERT INTO edge VALUES(?, ?, ?, ?)");
    for (uint32_t id = 1; id <= b->info.packages; id++) {
        const struct control_record *r = &b->packages[id - 1];
        uint32_t position = add_edges_of_field(b, id, 1, r->pre_depends);
        add_edges_of_field(b, id, position, r->depends);
    }
    sqlite3_finalize(b->add_edge);
}

static void add_packages(struct builder *b)
{
    sqlite3_stmt *package = database_prepare(b->db, "INSERT INTO package VALUES(?, ?, ?)");
    sqlite3_stmt *record = database_prepare(b->db, "INSERT INTO record VALUES(?, ?)");
    for (uint32_t id = 1; id <= b->info.packages; id++) {
        const struct control_record *r = &b->packages[id - 1];
        database_bind_id(package, 1, id);
        database_bind_text(package, 2, r->package);
        database_bind_text(package, 3, r->version.data ? r->version : text_of("none"));
        database_do(package);
        database_bind_id(record, 1, id);
        database_bind_text(record, 2, r->whole);
        database_do(record);
    }
    sqlite3_finalize(package);
    sqlite3_finalize(record);
}

static void add_absent_names(struct builder *b)
{
    sqlite3_stmt *absent = database_prepare(b->db, "INSERT INTO absent VALUES(?, ?, ?)");
    for (uint32_t i = 0; i < b->info.absent_names; i++) {
        database_bind_id(absent, 1, i + 1);
        database_bind_text(absent, 2, b->absent_names[i].name);
        database_bind_id(absent, 3, b->absent_names[i].mentions);
        database_do(absent);
    }
    sqlite3_finalize(absent);
}

static void add_info(struct builder *b)
{
    const struct catalogue_info *info = &b->info;
    sqlite3_stmt *s = database_prepare(b->db, "INSERT INTO info VALUES(?, ?, ?, ?, ?, ?, ?)");
    int64_t numbers[] = {LAYOUT,      (int64_t)info->input_hash, (int64_t)info->input_bytes,
                         info->packages, info->edges,            info->absent_names,
                         info->unsatisfied};
    for (int i = 0; i < 7; i++)
        database_bind_id(s, i + 1, numbers[i]);
    database_do(s);
    sqlite3_finalize(s);
}

static void write_tables(struct builder *b)
{
    database_run(b->db, "BEGIN");
    database_run(b->db, schema);
    add_packages(b);
    add_all_edges(b);
    add_absent_names(b);
    database_run(b->db, indexes);
    add_info(b);
    database_run(b->db, "COMMIT");
}

static void free_builder(struct builder *b)
{
    name_map_free(&b->names);
    name_map_free(&b->providers);
    name_map_free(&b->absent);
    free(b->packages);
    free(b->absent_names);
    free(b->reached_by);
}

void catalogue_build(const char *path, struct text input, struct catalogue_info *ret)
{
    struct builder b = {.info = {.input_hash = hash_text(input), .input_bytes = input.len}};
    read_packages(&b, input);
    if (b.info.packages == 0)
        fail("the catalogue's text holds no package");
    find_providers(&b);
    b.db = database_open(path);
    write_tables(&b);
    database_close(b.db);
    *ret = b.info;
    free_builder(&b);
}

bool catalogue_lookup(const char *path, struct text input, struct catalogue_info *ret)
{
    if (access(path, R_OK) != 0)
        return false;
    sqlite3 *db = database_open(path);
    sqlite3_stmt *s = database_prepare(db, "SELECT * FROM info");
    bool same = database_step(s) && sqlite3_column_int64(s, 0) == LAYOUT &&
                (uint64_t)sqlite3_column_int64(s, 1) == hash_text(input);
    if (same)
        *ret = (struct catalogue_info){.input_hash = hash_text(input),
                                       .input_bytes = input.len,
                                       .packages = (uint32_t)sqlite3_column_int64(s, 3),
                                       .edges = (uint32_t)sqlite3_column_int64(s, 4),
                                       .absent_names = (uint32_t)sqlite3_column_int64(s, 5),
                                       .unsatisfied = (uint32_t)sqlite3_column_int64(s, 6)};
    sqlite3_finalize(s);
    database_close(db);
    return same;
}
