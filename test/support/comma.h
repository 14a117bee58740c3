/* SPDX-License-Identifier: MIT */
/*
 * comma.h - a host whose locale has a comma in numbers.
 *
 *     struct comma comma;
 *     if (comma_take(&comma))
 *         CHECK_STR(said(), "0.5");
 *     comma_leave(&comma);
 *
 * Take it before there are threads: a locale is the whole process'.
 */
#ifndef NIGH_TEST_COMMA_H
#define NIGH_TEST_COMMA_H

#include <locale.h>
#include <stdio.h>
#include <stdlib.h>

#include "support/check.h"

struct comma {
    char folder[32];
};

/* Make such a locale, and take it. False: localedef has nothing to make it of. */
static inline bool comma_take(struct comma *c)
{
    char command[256];
    strcpy(c->folder, "/tmp/nigh-comma-XXXXXX");
    REQUIRE(mkdtemp(c->folder));
    snprintf(command, sizeof(command),
             "cd %s && printf 'LC_NUMERIC\\ndecimal_point \",\"\\nthousands_sep \"\"\\n"
             "grouping -1\\nEND LC_NUMERIC\\n' >source && "
             "localedef -c -i source -f ANSI_X3.4-1968 --no-archive ./comma >out 2>&1", c->folder);
    return system(command) >= 0 && setenv("LOCPATH", c->folder, 1) == 0 &&
           setlocale(LC_NUMERIC, "comma");
}

static inline void comma_leave(const struct comma *c)
{
    char command[64];
    setlocale(LC_NUMERIC, "C");
    unsetenv("LOCPATH");
    snprintf(command, sizeof(command), "rm -r %s", c->folder);
    CHECK_EQ(system(command), 0);
}

#endif
