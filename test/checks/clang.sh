#!/bin/sh
# SPDX-License-Identifier: MIT
# What clang knows of our own promises, over each file of lib/, whatever compiler builds it:
#
#   locks    who says REQUIRES(lock) is called with it, what is taken is given back, no lock is
#            taken twice (lib/base/check.h has the words)
#   atomics  none is read or written with an order that nobody has chosen: `x = y` is seq_cst
#
# Usage: clang.sh SOURCE CLANG FLAG...; without clang it says so and exits 77.
cd "$1" || exit 2
clang=$2
shift 2
command -v "$clang" >/dev/null || { echo 'skipped: no clang'; exit 77; }

# -precise compares a lock by the whole expression, and C has two names for most: l2->lock is also
# r->l2->lock. -attributes objects to a pthread_mutex_t, whose type is not ours to mark.
find lib -name '*.c' | sort | xargs "$clang" -std=gnu11 "$@" -fsyntax-only \
    -Wthread-safety -Wno-thread-safety-precise -Wno-thread-safety-attributes \
    -Watomic-implicit-seq-cst -Werror
