# SPDX-License-Identifier: MIT
# Finds what the library links; a missing piece is named by the Debian package that has it.

set(THREADS_PREFER_PTHREAD_FLAG ON)
find_package(Threads REQUIRED)
find_package(PkgConfig)
if(NOT PKG_CONFIG_FOUND)
    message(FATAL_ERROR "nigh needs pkg-config: apt-get install pkg-config")
endif()

# nigh_find(<prefix> <pkg-config module> <Debian package>): makes PkgConfig::<prefix>.
macro(nigh_find prefix module package)
    pkg_check_modules(${prefix} QUIET IMPORTED_TARGET ${module})
    if(NOT ${prefix}_FOUND)
        message(FATAL_ERROR "nigh needs ${module}: apt-get install ${package}")
    endif()
endmacro()

nigh_find(NIGH_HIREDIS hiredis>=0.14 libhiredis-dev)
nigh_find(NIGH_URCU liburcu-bp>=0.13 liburcu-dev)
nigh_find(NIGH_XXHASH libxxhash>=0.8 libxxhash-dev) # the header only: inlined, never linked
set(NIGH_LINKED_SYSTEM PkgConfig::NIGH_HIREDIS PkgConfig::NIGH_URCU)
set(NIGH_REQUIRES_SYSTEM "hiredis >= 0.14, liburcu-bp >= 0.13")
set(NIGH_CONFIG_SYSTEM hiredis:HIREDIS liburcu-bp:URCU)

# nigh_find_optional(<name> <pkg-config module> <least version> <what it is for>): where it is
# there, and NIGH_<name> is on, links it and defines NIGH_HAS_<name>.
macro(nigh_find_optional name module version what)
    if(NIGH_${name})
        pkg_check_modules(NIGH_${name}LIB QUIET IMPORTED_TARGET ${module}>=${version})
    endif()
    if(NIGH_${name} AND NIGH_${name}LIB_FOUND)
        list(APPEND NIGH_LINKED_SYSTEM PkgConfig::NIGH_${name}LIB)
        list(APPEND NIGH_CONFIG_SYSTEM ${module}:${name}LIB)
        list(APPEND NIGH_HAS NIGH_HAS_${name})
        string(APPEND NIGH_REQUIRES_SYSTEM ", ${module} >= ${version}")
    else()
        message(STATUS "nigh: without ${what}")
    endif()
endmacro()
nigh_find_optional(LZ4 liblz4 1.9 "space.compress=lz4")
nigh_find_optional(ZSTD libzstd 1.5 "space.compress=zstd")
nigh_find_optional(OPENSSL openssl 3.0 "TLS (rediss://)")
set(NIGH_LINKED ${NIGH_LINKED_SYSTEM})
set(NIGH_REQUIRES ${NIGH_REQUIRES_SYSTEM})
if(NIGH_ALLOCATOR STREQUAL "jemalloc")
    nigh_find(NIGH_JEMALLOC jemalloc>=5 libjemalloc-dev)
    list(APPEND NIGH_LINKED PkgConfig::NIGH_JEMALLOC)
    string(APPEND NIGH_REQUIRES ", jemalloc >= 5")
    set(NIGH_CONFIG_JEMALLOC jemalloc:JEMALLOC)
endif()
