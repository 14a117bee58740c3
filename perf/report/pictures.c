// SPDX-License-Identifier: MIT
/*
 * The order of the pictures: first what answers a question by its shape, then bars.
 */
#include "report/pictures.h"

#include "report/page.h"

void card_begin(FILE *out, const char *bench, const char *what, const char *unit, const char *how)
{
    fputs("<figure class=\"card\"><h3>", out);
    page_text(out, bench);
    fputs(": ", out);
    page_text(out, what);
    if (unit) {
        fputs(", ", out);
        page_text(out, unit);
    }
    fputs("</h3><p>", out);
    page_text(out, how);
    fputs("</p>\n", out);
}

void card_end(FILE *out)
{
    fputs("</figure>\n", out);
}

unsigned pictures_draw(const struct rows *rows, FILE *out)
{
    unsigned count = 0;
    fputs("<div class=\"cards\">\n", out);
    count += pictures_of_curve(rows, out);
    count += pictures_over_time(rows, out);
    count += pictures_of_latency(rows, out);
    count += pictures_of_limits(rows, out);
    count += pictures_of_ratios(rows, out);
    count += pictures_of_values(rows, out);
    fputs("</div>\n", out);
    return count;
}
