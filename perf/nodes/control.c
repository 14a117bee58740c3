// SPDX-License-Identifier: MIT
/*
 * Cutting control files into records, fields and names.
 */
#include "nodes/control.h"

#include <stddef.h>

struct field {
    const char *name;
    size_t offset;
};

static const struct field fields[] = {
    {"Package", offsetof(struct control_record, package)},
    {"Version", offsetof(struct control_record, version)},
    {"Priority", offsetof(struct control_record, priority)},
    {"Status", offsetof(struct control_record, status)},
    {"Depends", offsetof(struct control_record, depends)},
    {"Pre-Depends", offsetof(struct control_record, pre_depends)},
    {"Provides", offsetof(struct control_record, provides)},
};

static void note_field(struct control_record *record, struct text name, struct text value)
{
    for (size_t i = 0; i < sizeof(fields) / sizeof(fields[0]); i++)
        if (text_is(name, fields[i].name))
            *(struct text *)(void *)((char *)record + fields[i].offset) = text_trim(value);
}

/* A line that begins with a blank continues the field before it, so a field ends where the next
 * line begins with anything else. */
static bool cut_field(struct text *record, struct text *ret_name, struct text *ret_value)
{
    struct text line, rest = *record;
    if (!text_cut(&rest, '\n', &line))
        return false;
    const char *start = line.data;
    while (rest.len && (rest.data[0] == ' ' || rest.data[0] == '\t'))
        text_cut(&rest, '\n', &line);
    struct text whole = {start, (size_t)(line.data + line.len - start)};
    *record = rest;
    if (!text_cut(&whole, ':', ret_name))
        return false;
    *ret_value = whole;
    return true;
}

static bool cut_record(struct text *rest, struct text *ret)
{
    while (rest->len && rest->data[0] == '\n') {
        rest->data++;
        rest->len--;
    }
    if (rest->len == 0)
        return false;
    const char *gap = memmem(rest->data, rest->len, "\n\n", 2);
    size_t len = gap ? (size_t)(gap - rest->data) + 1 : rest->len;
    *ret = (struct text){rest->data, len};
    rest->data += len;
    rest->len -= len;
    return true;
}

bool control_next(struct text *rest, struct control_record *ret)
{
    struct control_record record = {.whole = {NULL, 0}};
    if (!cut_record(rest, &record.whole))
        return false;
    struct text left = record.whole, name, value;
    while (cut_field(&left, &name, &value))
        note_field(&record, name, value);
    *ret = record;
    return true;
}

bool control_next_clause(struct text *field, struct text *ret_clause)
{
    while (text_cut(field, ',', ret_clause)) {
        *ret_clause = text_trim(*ret_clause);
        if (ret_clause->len)
            return true;
    }
    return false;
}

bool control_next_name(struct text *clause, struct text *ret_name)
{
    struct text name;
    while (text_cut(clause, '|', &name)) {
        name = text_trim(name);
        size_t len = 0;
        while (len < name.len && !strchr(" \t\n(:[<", name.data[len]))
            len++;
        if (len) {
            *ret_name = (struct text){name.data, len};
            return true;
        }
    }
    return false;
}
