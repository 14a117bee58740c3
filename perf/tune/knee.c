// SPDX-License-Identifier: MIT
/*
 * Looking for the knee from the large end, for a curve may have steps: what comes late counts.
 */
#include "tune/knee.h"

#include <math.h>

double knee_misses_at(const struct knee_point *points, size_t count, double bytes)
{
    size_t i = 0;
    if (bytes <= points[0].bytes)
        return points[0].misses;
    while (i + 1 < count && points[i + 1].bytes < bytes)
        i++;
    if (i + 1 == count)
        return points[i].misses;
    const struct knee_point *a = &points[i], *b = &points[i + 1];
    double way = log(bytes / a->bytes) / log(b->bytes / a->bytes);
    return a->misses + way * (b->misses - a->misses);
}

void knee_smooth(struct knee_point *points, size_t count)
{
    for (size_t i = 1; i < count; i++)
        points[i].misses = fmin(points[i].misses, points[i - 1].misses);
}

bool knee_is_worth(double before, double after, double worth)
{
    double saved = before - after;
    return saved >= worth ||
           (saved >= KNEE_WORTH_OF_LEFT * before && saved >= KNEE_WORTH_OF_LEFT_MIN);
}

size_t knee_find(const struct knee_point *points, size_t count, double worth)
{
    size_t knee = count - 1;
    while (knee > 0) {
        const struct knee_point *p = &points[knee - 1];
        if (knee_is_worth(p->misses, knee_misses_at(points, count, 2 * p->bytes), worth))
            break;
        knee--;
    }
    return knee;
}

size_t knee_near(const struct knee_point *points, size_t count, double worth)
{
    size_t knee = knee_find(points, count, worth);
    size_t larger = knee_find(points, count, 0.95 * worth);
    return larger != knee ? larger : knee_find(points, count, 1.05 * worth);
}
