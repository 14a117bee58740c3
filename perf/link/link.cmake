# SPDX-License-Identifier: MIT
# perf/run link, async, herd, miss, bulk, compress: one program. It looks inside in three places:
# the scripts of a load are asked for by the library's own client of Redis, the moment at which a
# node has applied a frame is taken around the function that does it, and codecs are called alone.
add_executable(perf_link
    calls/bulk.c calls/cold.c calls/herd.c calls/loop.c calls/serve.c
    compress/levels.c compress/pages.c compress/sides.c
    link/async.c link/audience.c link/benchmark.c link/changes.c link/evict.c link/lease.c
    link/main.c link/memcached.c link/miss.c link/nigh.c link/plain.c link/round.c link/rows.c
    link/show.c link/usage.c link/wires.c)
target_link_libraries(perf_link PRIVATE
    perf_bench_maths perf_pages perf_support nigh_internal Threads::Threads)
target_compile_definitions(perf_link PRIVATE ${NIGH_HAS}) # the libraries that compress
target_link_options(perf_link PRIVATE -Wl,--wrap=coherence_push)
