# SPDX-License-Identifier: MIT
# The benchmarks of perf/run hit, write, memory, resize, limbo, shrink, trace and bars: one program.
# Where the baselines' packages are missing it is left out, and says so.

set(PERF_BENCH_MISSING "")
foreach(dependency ck:libck-dev glib-2.0:libglib2.0-dev liburcu-cds:liburcu-dev)
    string(REPLACE ":" ";" dependency ${dependency})
    list(GET dependency 0 module)
    list(GET dependency 1 package)
    string(MAKE_C_IDENTIFIER ${module} name)
    pkg_check_modules(PERF_${name} QUIET IMPORTED_TARGET ${module})
    if(NOT PERF_${name}_FOUND)
        list(APPEND PERF_BENCH_MISSING ${package})
    endif()
endforeach()
if(NOT NIGH_ALLOCATOR STREQUAL "jemalloc")
    list(APPEND PERF_BENCH_MISSING "NIGH_ALLOCATOR=jemalloc")
endif()
if(PERF_BENCH_MISSING)
    message(STATUS "nigh: perf_bench is not built; missing: ${PERF_BENCH_MISSING}")
    return()
endif()

# perf_relocated(<name> <symbol> <new name> <flags of the link> <target> <objects>...)
# One object of all of them, the last ones <target>'s, that shows nothing but <symbol>, under a new
# name: builds of the library that differ live side by side in one program. Make knows no rule for
# objects of other targets, so these have to be there before.
function(perf_relocated name symbol as flags target)
    set(whole ${CMAKE_CURRENT_BINARY_DIR}/${name}.o)
    add_custom_command(OUTPUT ${whole}
        COMMAND ${CMAKE_C_COMPILER} -nostdlib -r ${flags} -o ${whole} ${ARGN}
        COMMAND ${CMAKE_OBJCOPY} --keep-global-symbol=${symbol}
            --keep-global-symbol=_.stapsdt.base ${whole} # library.cmake says why
        COMMAND ${CMAKE_OBJCOPY} --redefine-sym ${symbol}=${as} ${whole}
        DEPENDS ${ARGN}
        COMMENT "Relocating ${name}" COMMAND_EXPAND_LISTS VERBATIM)
    set_source_files_properties(${whole} PROPERTIES EXTERNAL_OBJECT ON GENERATED ON)
    target_sources(perf_bench PRIVATE ${whole})
    add_dependencies(perf_bench ${target})
endfunction()

add_executable(perf_bench
    bench/arena.c bench/bars.c bench/ck.c bench/curve.c bench/evicting.c bench/features.c
    bench/foreign.c bench/forks.c bench/glib.c bench/hit.c bench/lfht.c bench/limbo.c
    bench/limit.c
    bench/main.c bench/memory.c bench/mutex.c bench/nigh.c bench/peers.c bench/replay.c
    bench/resize.c bench/settings.c bench/shrink.c bench/stage.c bench/telemetry.c bench/trace.c
    bench/trace_file.c bench/write.c)
target_link_libraries(perf_bench PRIVATE
    perf_bench_maths perf_input perf_support nigh_static PkgConfig::PERF_ck PkgConfig::PERF_glib_2_0
    PkgConfig::PERF_liburcu_cds Threads::Threads)
target_link_options(perf_bench PRIVATE -Wl,--wrap=pthread_atfork) # forks.c says why

# nigh with another way of freeing: its own gives way where the variant has a function of the name.
set(weak ${CMAKE_CURRENT_BINARY_DIR}/perf_weak_limbo.o)
set(limbo "$<FILTER:$<TARGET_OBJECTS:nigh_objects>,INCLUDE,l1/limbo[.]c[.]o$>")
set(others "$<FILTER:$<TARGET_OBJECTS:nigh_objects>,EXCLUDE,l1/limbo[.]c[.]o$>"
    $<TARGET_OBJECTS:nigh_memory_jemalloc>)
add_custom_command(OUTPUT ${weak}
    COMMAND ${CMAKE_OBJCOPY} --weaken-symbol=limbo_retire_locked ${limbo} ${weak}
    DEPENDS ${limbo} COMMENT "Weakening limbo" VERBATIM)
foreach(variant unsafe call_rcu)
    add_library(perf_${variant} OBJECT bench/reclaim_${variant}.c bench/nigh.c)
    target_include_directories(perf_${variant} PRIVATE ${CMAKE_CURRENT_SOURCE_DIR})
    target_link_libraries(perf_${variant} PRIVATE nigh_flags PkgConfig::NIGH_URCU)
    target_compile_options(perf_${variant} PRIVATE -ftls-model=initial-exec)
    set_target_properties(perf_${variant} PROPERTIES POSITION_INDEPENDENT_CODE ON)
    perf_relocated(perf_nigh_${variant} candidate_nigh candidate_${variant} "" perf_${variant}
        "${others}" ${weak} $<TARGET_OBJECTS:perf_${variant}>)
endforeach()

# The floor has nigh's pins and keys, from a build of its own: the library shows neither.
add_library(perf_floor OBJECT bench/floor.c)
target_include_directories(perf_floor PRIVATE ${CMAKE_CURRENT_SOURCE_DIR})
target_link_libraries(perf_floor PRIVATE
    nigh_flags PkgConfig::NIGH_URCU PkgConfig::NIGH_XXHASH)
target_compile_options(perf_floor PRIVATE -ftls-model=initial-exec)
set_target_properties(perf_floor PROPERTIES POSITION_INDEPENDENT_CODE ON)
perf_relocated(perf_nigh_floor candidate_floor candidate_floor "" perf_floor
    "$<TARGET_OBJECTS:nigh_objects>" $<TARGET_OBJECTS:nigh_memory_jemalloc>
    $<TARGET_OBJECTS:perf_floor>)

# nigh inlined into the timing loop: the whole library and core.c as one unit.
add_library(perf_core OBJECT
    ${NIGH_SOURCES} ${PROJECT_SOURCE_DIR}/lib/base/mem_jemalloc.c bench/core.c bench/nigh.c)
target_include_directories(perf_core PRIVATE ${CMAKE_CURRENT_SOURCE_DIR} ${NIGH_GENERATED_DIR})
target_link_libraries(perf_core PRIVATE nigh_flags ${NIGH_LINKED} PkgConfig::NIGH_XXHASH)
target_compile_options(perf_core PRIVATE -fvisibility=hidden -ftls-model=initial-exec -flto)
set_target_properties(perf_core PROPERTIES POSITION_INDEPENDENT_CODE ON)
perf_relocated(perf_nigh_core candidate_core candidate_core
    "-O2;-flto=1;-flinker-output=nolto-rel" perf_core $<TARGET_OBJECTS:perf_core>)

# Peers that take part if they are there, and are named if they are not.
include(CheckLanguage)
check_language(CXX)
pkg_check_modules(PERF_TBB QUIET IMPORTED_TARGET tbb)
find_path(PERF_CUCKOO_INCLUDE libcuckoo/cuckoohash_map.hh)
find_file(PERF_CAFFEINE_JAR caffeine.jar PATHS /usr/share/java)
find_program(PERF_JAVAC javac)
find_program(PERF_GO go)
find_path(PERF_GOPATH src/github.com/dgraph-io/ristretto PATHS /usr/share/gocode)

# perf_peer(<name> <libraries>...): bench/peers/NAME.cc becomes a candidate, if what it includes is
# as it expects: one that does not compile is missing.
function(perf_peer name)
    string(TOUPPER ${name} upper)
    set(source ${CMAKE_CURRENT_SOURCE_DIR}/bench/peers/${name}.cc)
    set(folders ${CMAKE_CURRENT_SOURCE_DIR} ${PROJECT_SOURCE_DIR}/include)
    set(CMAKE_TRY_COMPILE_TARGET_TYPE STATIC_LIBRARY)
    try_compile(PERF_${upper}_COMPILES ${CMAKE_CURRENT_BINARY_DIR}/peer_${name} ${source}
        CMAKE_FLAGS "-DINCLUDE_DIRECTORIES=${folders}"
        LINK_LIBRARIES PkgConfig::NIGH_XXHASH ${ARGN} CXX_STANDARD 17)
    if(NOT PERF_${upper}_COMPILES)
        message(STATUS "nigh: perf_bench has no peer ${name}: it does not compile here")
        return()
    endif()
    add_library(perf_peer_${name} OBJECT ${source})
    target_include_directories(perf_peer_${name} PRIVATE ${folders})
    target_compile_options(perf_peer_${name} PRIVATE -O3 -Wall -Wextra)
    target_compile_features(perf_peer_${name} PRIVATE cxx_std_17)
    target_link_libraries(perf_peer_${name} PRIVATE PkgConfig::NIGH_XXHASH ${ARGN})
    target_compile_definitions(perf_bench PRIVATE PERF_HAVE_${upper})
    target_sources(perf_bench PRIVATE $<TARGET_OBJECTS:perf_peer_${name}>)
    target_link_libraries(perf_bench PRIVATE ${ARGN})
endfunction()
if(CMAKE_CXX_COMPILER)
    enable_language(CXX)
    if(PERF_TBB_FOUND)
        perf_peer(tbb PkgConfig::PERF_TBB)
    endif()
    if(PERF_CUCKOO_INCLUDE)
        perf_peer(cuckoo)
    endif()
endif()

# Those of other languages are programs of their own: a try that fails leaves them missing.
add_custom_target(perf_foreign_peers)
function(perf_foreign_peer name)
    add_custom_target(perf_peer_${name} COMMAND sh -c "$0 \"$@\" || echo perf: ${name} is not built"
        ${ARGN} VERBATIM)
    add_dependencies(perf_foreign_peers perf_peer_${name})
endfunction()
if(PERF_CAFFEINE_JAR AND PERF_JAVAC)
    target_compile_definitions(perf_bench PRIVATE PERF_CAFFEINE_JAR="${PERF_CAFFEINE_JAR}")
    perf_foreign_peer(caffeine ${PERF_JAVAC} -cp ${PERF_CAFFEINE_JAR}
        -d ${CMAKE_CURRENT_BINARY_DIR} ${CMAKE_CURRENT_SOURCE_DIR}/bench/peers/CaffeinePeer.java)
endif()
if(PERF_GO AND PERF_GOPATH)
    perf_foreign_peer(ristretto ${CMAKE_COMMAND} -E env GO111MODULE=off GOPATH=${PERF_GOPATH}
        GOFLAGS= GOCACHE=${CMAKE_CURRENT_BINARY_DIR}/go ${PERF_GO} build
        -o ${CMAKE_CURRENT_BINARY_DIR}/perf_peer_ristretto
        ${CMAKE_CURRENT_SOURCE_DIR}/bench/peers/ristretto.go)
endif()
