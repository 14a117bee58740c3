# SPDX-License-Identifier: MIT
# Every choice the builder has, with its default and the reason for it.

if(CMAKE_SOURCE_DIR STREQUAL PROJECT_SOURCE_DIR)
    set(NIGH_TOP_LEVEL ON)
else()
    set(NIGH_TOP_LEVEL OFF) # inside somebody else's project only the library is wanted
endif()

if(NIGH_TOP_LEVEL AND NOT CMAKE_BUILD_TYPE)
    set(CMAKE_BUILD_TYPE Release CACHE STRING "Debug (checks, fault points) or Release" FORCE)
endif()

set(NIGH_SANITIZE "" CACHE STRING "address,undefined or thread; empty: none")
set(NIGH_ALLOCATOR jemalloc CACHE STRING "jemalloc, or system for hosts that dlopen us")
option(NIGH_WERROR "Warnings are errors; off for users, whose compiler may be newer" OFF)
option(NIGH_OPENSSL "TLS to Redis (rediss://), where OpenSSL is there" ON)
option(NIGH_LZ4 "Compress values with lz4 (space.compress), where liblz4 is there" ON)
option(NIGH_ZSTD "Compress values with zstd (space.compress), where libzstd is there" ON)
option(NIGH_TESTS "Build the tests" ${NIGH_TOP_LEVEL})
option(NIGH_PERF "Build the measurements" ${NIGH_TOP_LEVEL})
option(NIGH_FUZZ "Build the fuzzers with libFuzzer (clang) instead of as replay programs" OFF)
set_property(CACHE NIGH_ALLOCATOR PROPERTY STRINGS jemalloc system)
set_property(CACHE NIGH_SANITIZE PROPERTY STRINGS "" address,undefined thread)

if(NOT NIGH_ALLOCATOR MATCHES "^(jemalloc|system)$")
    message(FATAL_ERROR "NIGH_ALLOCATOR is '${NIGH_ALLOCATOR}': must be jemalloc or system")
endif()
if(NOT NIGH_SANITIZE MATCHES "^(|thread|(address|undefined|leak)(,(address|undefined|leak))*)$")
    message(FATAL_ERROR
        "NIGH_SANITIZE is '${NIGH_SANITIZE}': must be address,undefined or thread or empty")
endif()
if(NIGH_FUZZ AND NOT CMAKE_C_COMPILER_ID STREQUAL "Clang")
    message(FATAL_ERROR "NIGH_FUZZ needs clang (CC=clang); replay of the corpus needs neither")
endif()

# Sanitizers do not see jemalloc's memory: a use after free would go unnoticed.
if(NIGH_SANITIZE AND NOT NIGH_ALLOCATOR STREQUAL "system")
    message(STATUS "nigh: NIGH_SANITIZE=${NIGH_SANITIZE} uses the system allocator")
    set(NIGH_ALLOCATOR system)
endif()
