// SPDX-License-Identifier: MIT
/*
 * Texts of outcomes and errors, and each thread's last explanation.
 */
#include "base/error.h"

#include <stdarg.h>
#include <stdio.h>

#include <nigh/options.h>

static _Thread_local char note[ERROR_NOTE_BYTES];

int error_note(int code, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    vsnprintf(note, sizeof(note), fmt, args);
    va_end(args);
    return code;
}

const char *nigh_options_error(void)
{
    return note;
}

const char *nigh_strerror(int result)
{
    switch (result) {
#define X(name, value, text)                                                                       \
    case value:                                                                                    \
        return text;
        NIGH_OUTCOMES(X)
        NIGH_ERRORS(X)
#undef X
    default:
        return "unknown result";
    }
}

const char *nigh_result_name(int result)
{
    switch (result) {
#define X(name, value, text)                                                                       \
    case value:                                                                                    \
        return #name;
        NIGH_OUTCOMES(X)
        NIGH_ERRORS(X)
#undef X
    default:
        return "unknown";
    }
}
