# SPDX-License-Identifier: MIT
# perf/run compare and report: what is done with results. All but the command line is a library, for
# a test runs it. Without jansson, which reads them, there is neither.
pkg_check_modules(PERF_JANSSON QUIET IMPORTED_TARGET jansson)
if(NOT PERF_JANSSON_FOUND)
    message(STATUS "nigh: perf_report is not built; missing: libjansson-dev")
    return()
endif()
add_library(perf_report_parts STATIC EXCLUDE_FROM_ALL
    report/bars.c report/chart.c report/compare.c report/lines.c report/page.c report/peers.c
    report/pictures.c report/report.c report/rows.c)
target_link_libraries(perf_report_parts PUBLIC perf_support PkgConfig::PERF_JANSSON)
add_executable(perf_report report/main.c)
target_link_libraries(perf_report PRIVATE perf_report_parts)
if(TARGET 81perf_report)
    target_link_libraries(81perf_report PRIVATE perf_report_parts perf_bench_maths)
endif()
# Without files compare runs these.
add_custom_target(perf_peers DEPENDS perf_report perf_link)
if(TARGET perf_bench)
    add_dependencies(perf_peers perf_bench perf_foreign_peers)
endif()
