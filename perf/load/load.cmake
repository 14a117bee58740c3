# SPDX-License-Identifier: MIT
# perf/run load. What it draws keys by is apart, for a test.
add_library(perf_shape STATIC EXCLUDE_FROM_ALL load/shape.c)
target_link_libraries(perf_shape PUBLIC perf_bench_maths perf_support)
if(TARGET 80perf_shape)
    target_link_libraries(80perf_shape PRIVATE perf_shape)
endif()
add_executable(perf_load load/main.c load/node.c load/report.c load/run.c load/worker.c)
target_link_libraries(perf_load PRIVATE perf_shape perf_input nigh_static Threads::Threads)
