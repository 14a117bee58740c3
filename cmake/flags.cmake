# SPDX-License-Identifier: MIT
# Flags of our own code, library and tests alike, carried by the target nigh_flags.
# Nothing here reaches a user of the installed library.

add_library(nigh_flags INTERFACE)
target_include_directories(nigh_flags INTERFACE
    ${PROJECT_SOURCE_DIR}/include ${PROJECT_SOURCE_DIR}/lib)
target_compile_options(nigh_flags INTERFACE
    -std=gnu11 -g -fno-omit-frame-pointer
    -Wall -Wextra -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wundef
    -Wpointer-arith -Wcast-qual -Wvla
    $<$<BOOL:${NIGH_WERROR}>:-Werror>)

# (A list of sanitizers has commas, which a generator expression takes for its own.)
if(NIGH_SANITIZE)
    set(sanitized 1)
else()
    set(sanitized 0)
endif()

# The empty values let a file still say `#define _GNU_SOURCE` without a warning.
target_compile_definitions(nigh_flags INTERFACE
    _GNU_SOURCE=
    NIGH_ALLOCATOR_JEMALLOC=$<STREQUAL:${NIGH_ALLOCATOR},jemalloc>
    NIGH_SANITIZED=${sanitized}
    NIGH_FAULTS=$<CONFIG:Debug>)

if(NIGH_SANITIZE)
    set(NIGH_SANITIZE_FLAGS -fsanitize=${NIGH_SANITIZE} -O1) # at -O0 torture gets nowhere
    if(NIGH_SANITIZE MATCHES "undefined")
        list(APPEND NIGH_SANITIZE_FLAGS -fno-sanitize-recover=undefined)
    endif()
    target_compile_options(nigh_flags INTERFACE ${NIGH_SANITIZE_FLAGS})
    target_link_options(nigh_flags INTERFACE ${NIGH_SANITIZE_FLAGS})
endif()

if(NIGH_FUZZ)
    target_compile_options(nigh_flags INTERFACE -fsanitize=fuzzer-no-link)
endif()
