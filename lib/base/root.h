/* SPDX-License-Identifier: MIT */
/*
 * The square root of a number, for deviations: libm is not linked for it.
 */
#ifndef NIGH_BASE_ROOT_H
#define NIGH_BASE_ROOT_H

/* Returns the square root of x >= 0, to nine digits. By Newton, from above: each step halves what
 * is far off, so from 1 it takes some 45 to come down to 1e-12. */
static inline double root_of(double x)
{
    double r = x > 1 ? x : 1;
    for (int i = 0; i < 80 && r * r - x > 1e-9 * x; i++)
        r = (r + x / r) / 2;
    return r;
}

#endif
