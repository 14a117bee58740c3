// SPDX-License-Identifier: MIT
/*
 * An answer in memory: grows as it is written, up to a bound, and is sent when it is whole.
 *
 * An answer that cannot be whole is none: too long, or without memory, it becomes an error of a few
 * words, for half of a JSON is worse than none.
 */
#include "control/server.h"

#include <stdarg.h>

#define SIZE_FIRST 4096u
#define ERROR_BYTES 1000u

void control_reply_free(struct control_reply *r)
{
    mem_free(r->mem, NULL, r->text, r->size);
    *r = (struct control_reply){.mem = r->mem};
}

/* Makes room for `more` bytes and a NUL. */
static bool make_room(struct control_reply *r, size_t more)
{
    if (r->failed || r->is_error)
        return false;
    size_t size = u64_max(r->size, SIZE_FIRST);
    while (size <= CONTROL_REPLY_BYTES && size - r->len <= more)
        size *= 2;
    if (size == r->size)
        return true;
    char *text = size <= CONTROL_REPLY_BYTES ? mem_alloc(r->mem, NULL, size) : NULL;
    if (!text) {
        control_reply_free(r);
        r->failed = true;
        return false;
    }
    if (r->len > 0)
        memcpy(text, r->text, r->len);
    mem_free(r->mem, NULL, r->text, r->size);
    r->text = text;
    r->size = size;
    return true;
}

void control_reply_add(struct control_reply *r, struct bytes text)
{
    if (make_room(r, text.len)) {
        memcpy(r->text + r->len, text.data, text.len);
        r->len += text.len;
    }
}

long control_append(struct control_reply *r, control_write_fn write, void *arg)
{
    long needed = 0;
    for (size_t more = SIZE_FIRST; make_room(r, more); more = (size_t)needed + SIZE_FIRST) {
        size_t room = r->size - r->len;
        needed = write(arg, r->text + r->len, room);
        if (needed < 0)
            return needed;
        if ((size_t)needed < room) {
            r->len += (size_t)needed;
            return needed;
        }
    }
    return needed;
}

struct format {
    const char *fmt;
    va_list *args;
};

static long write_format(void *arg, char *buffer, size_t size)
{
    struct format *f = arg;
    struct text w = text_into(buffer, size);
    va_list args;
    va_copy(args, *f->args);
    text_add_args(&w, f->fmt, args);
    va_end(args);
    return (long)w.needed;
}

void control_print(struct control_reply *r, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    struct format f = {fmt, &args};
    control_append(r, write_format, &f);
    va_end(args);
}

void control_error(struct control_reply *r, const char *fmt, ...)
{
    char text[ERROR_BYTES] = "";
    struct text w = text_into(text, sizeof(text));
    va_list args;
    if (r->is_error)
        return;
    va_start(args, fmt);
    text_add_args(&w, fmt, args);
    va_end(args);
    r->len = 0;
    r->failed = false;
    control_print(r, "error: %s\n", text);
    r->is_error = true;
}

/* Sends empty lines with a blank: the one behind the answer is the first that there is. */
static size_t count_empty(const struct control_reply *r)
{
    size_t count = 0;
    for (size_t i = 0; i < r->len; i++)
        count += r->text[i] == '\n' && (i == 0 || r->text[i - 1] == '\n');
    return count;
}

static void fill_empty(struct control_reply *r)
{
    size_t more = count_empty(r);
    if (more == 0 || !make_room(r, more))
        return;
    r->len += more;
    for (size_t to = r->len, from = to - more; more > 0;) { /* from the end, over itself */
        char c = r->text[--from];
        r->text[--to] = c;
        if (c == '\n' && (from == 0 || r->text[from - 1] == '\n')) {
            r->text[--to] = ' ';
            more--;
        }
    }
}

/* Adds what an answer ends with; even that may find no room. */
static void end_text(struct control_reply *r)
{
    r->is_error = false;
    if (r->len > 0 && r->text[r->len - 1] != '\n')
        control_reply_add(r, bytes_of("\n", 1));
    fill_empty(r);
    control_reply_add(r, bytes_of("\n", 1));
}

void control_reply_end(struct control_reply *r)
{
    end_text(r);
    if (!r->failed)
        return;
    control_error(r, "the answer is too long, or there is no memory for it");
    end_text(r);
}
