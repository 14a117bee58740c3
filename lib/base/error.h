/* SPDX-License-Identifier: MIT */
/*
 * The explanation behind an error code: one line per thread, for codes that name what was wrong
 * (an option, a URI). Set by whoever finds the mistake, read through nigh_options_error().
 */
#ifndef NIGH_BASE_ERROR_H
#define NIGH_BASE_ERROR_H

#include <nigh/error.h>

#define ERROR_NOTE_BYTES 256

/* Keep the explanation and give `code` back: `return error_note(NIGH_EOPTION, "...", ...)`. */
__attribute__((format(printf, 2, 3))) int error_note(int code, const char *fmt, ...);

#endif
