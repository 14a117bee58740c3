/* SPDX-License-Identifier: MIT */
/*
 * Static probes (USDT): places to which bpftrace, perf and SystemTap attach by name.
 *
 *     bpftrace -p PID -e 'usdt:LIBRARY:nigh:miss { printf("%s\n", str(arg0, arg1)); }'
 *
 *     hit          key, its length, id of the space: of the sample alone (stats.h)
 *     miss         key, its length, id of the space in this process
 *     load         key, its length, ns from the call of the loader to its answer
 *     evict        key, its length, that of its value
 *     invalidate   key, its length, position: by whichever node
 *     doubt        0, 0, when trust ran out
 *
 * A probe that nobody has attached to is a nop. Built without <sys/sdt.h> (Debian:
 * systemtap-sdt-dev) there are none.
 */
#ifndef NIGH_BASE_USDT_H
#define NIGH_BASE_USDT_H

#if defined(__has_include)
#if __has_include(<sys/sdt.h>)
#include <sys/sdt.h>
#endif
#endif

#ifdef STAP_PROBE3
#define USDT(name, a, b, c) STAP_PROBE3(nigh, name, a, b, c)
#else
#define USDT(name, a, b, c) ((void)(a), (void)(b), (void)(c))
#endif

#endif
