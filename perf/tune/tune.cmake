# SPDX-License-Identifier: MIT
# perf/run tune. All but its command line is a library, for a test runs it.
add_library(perf_tune_parts STATIC EXCLUDE_FROM_ALL
    tune/curve.c tune/knee.c tune/plot.c tune/replay.c tune/report.c tune/sample.c tune/shards.c
    tune/tune.c)
target_link_libraries(perf_tune_parts PUBLIC perf_input perf_bench_maths perf_support)
# Not linked with the library: the program takes the static one, the test the one that tests take.
target_include_directories(perf_tune_parts PRIVATE ${PROJECT_SOURCE_DIR}/include)
target_link_libraries(perf_tune_parts PRIVATE Threads::Threads)
add_executable(perf_tune tune/main.c)
target_link_libraries(perf_tune PRIVATE perf_tune_parts nigh_static Threads::Threads)
if(TARGET 81perf_tune)
    target_link_libraries(81perf_tune PRIVATE perf_tune_parts)
endif()
