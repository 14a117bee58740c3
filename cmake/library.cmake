# SPDX-License-Identifier: MIT
# One set of objects and two memory backends make these products:
#   nigh           libnigh.so.0: exports nigh_* and nothing else
#   nigh_static    libnigh.a: ONE relocated object whose hidden symbols are local, so that
#                  an application's own l1_find neither clashes with ours nor replaces it
#   nigh_system, nigh_system_static
#                  libnigh-system: the same over malloc, whatever NIGH_ALLOCATOR is: for what is
#                  loaded with dlopen by a program that is not linked to jemalloc
#   nigh_internal  for tests only: hidden symbols can be reached

set(NIGH_MAP ${PROJECT_SOURCE_DIR}/lib/nigh.map)
set(NIGH_BACKENDS system)
if(NIGH_ALLOCATOR STREQUAL "jemalloc")
    list(APPEND NIGH_BACKENDS jemalloc)
endif()

# nigh_add_objects(<name> <source>...)
function(nigh_add_objects name)
    add_library(${name} OBJECT ${ARGN})
    target_include_directories(${name} PRIVATE ${NIGH_GENERATED_DIR})
    target_link_libraries(${name} PRIVATE nigh_flags ${NIGH_LINKED} Threads::Threads)
    target_compile_definitions(${name} PRIVATE ${NIGH_HAS})
    # initial-exec: a thread-local access on the hit path is one instruction, not a call.
    # exceptions: a callback of the host may throw, or end its thread; cleanup handlers then run.
    target_compile_options(${name} PRIVATE
        -fvisibility=hidden -ftls-model=initial-exec -fexceptions -fno-lto)
    set_target_properties(${name} PROPERTIES POSITION_INDEPENDENT_CODE ON)
endfunction()

file(GLOB NIGH_SOURCES CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/lib/*/*.c
    ${PROJECT_SOURCE_DIR}/lib/*/*/*.c)
list(FILTER NIGH_SOURCES EXCLUDE REGEX "/base/mem_(jemalloc|system)[.]c$")
list(FILTER NIGH_SOURCES EXCLUDE REGEX "/lib/tool/")
if(NIGH_HAS_OPENSSL IN_LIST NIGH_HAS)
    list(FILTER NIGH_SOURCES EXCLUDE REGEX "/l2/tls_none[.]c$")
else()
    list(FILTER NIGH_SOURCES EXCLUDE REGEX "/l2/tls(_context)?[.]c$")
endif()
nigh_add_objects(nigh_objects ${NIGH_SOURCES})
foreach(backend ${NIGH_BACKENDS})
    nigh_add_objects(nigh_memory_${backend} ${PROJECT_SOURCE_DIR}/lib/base/mem_${backend}.c)
endforeach()
# What hits and puts lie in: the register and the five instructions of a frame are worth 3 % of a
# hit, and a put has twenty of them. With wide types split, gcc 12 sends the hash's product of 128
# bits through memory.
set_source_files_properties(
    ${PROJECT_SOURCE_DIR}/lib/cache/read/read.c ${PROJECT_SOURCE_DIR}/lib/cache/read/many_l1.c
    PROPERTIES COMPILE_OPTIONS
    "-fomit-frame-pointer;$<$<C_COMPILER_ID:GNU>:-fno-split-wide-types>")
file(GLOB NIGH_L1_SOURCES CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/lib/l1/*.c)
set_source_files_properties(
    ${NIGH_L1_SOURCES} ${PROJECT_SOURCE_DIR}/lib/cache/write/put.c
    ${PROJECT_SOURCE_DIR}/lib/cache/write/writing.c
    PROPERTIES COMPILE_OPTIONS "-fomit-frame-pointer")

# Probes are told relative to a symbol that all objects with probes have in common (COMDAT): where
# it is local, a program with probes of its own, or two such libraries, cannot be linked.
set(NIGH_PROBES_GLOBAL --globalize-symbol=_.stapsdt.base)

# nigh_add_products(<target> <name of its files> <backend> <what it links>...)
function(nigh_add_products target output backend)
    set(objects $<TARGET_OBJECTS:nigh_objects> $<TARGET_OBJECTS:nigh_memory_${backend}>)
    add_library(${target} SHARED ${objects})
    set_target_properties(${target} PROPERTIES OUTPUT_NAME ${output}
        VERSION ${PROJECT_VERSION} SOVERSION 0 LINKER_LANGUAGE C LINK_DEPENDS ${NIGH_MAP})
    target_link_libraries(${target} PRIVATE ${ARGN} Threads::Threads)
    # nodelete: a thread of ours may still be on its way out when the host calls dlclose, and the
    # host's threads and forks call back into what liburcu and we have registered.
    target_link_options(${target} PRIVATE ${NIGH_SANITIZE_FLAGS}
        -Wl,--version-script=${NIGH_MAP} -Wl,-z,nodelete -Wl,-z,relro -Wl,-z,now)
    if(NOT NIGH_SANITIZE) # a sanitizer's runtime is in the program, not in us
        target_link_options(${target} PRIVATE -Wl,-z,defs)
    endif()

    set(relocated ${PROJECT_BINARY_DIR}/${output}.o)
    add_custom_command(OUTPUT ${relocated}
        COMMAND ${CMAKE_LINKER} -r -o ${relocated} ${objects}
        COMMAND ${CMAKE_OBJCOPY} --localize-hidden ${relocated}
        COMMAND ${CMAKE_OBJCOPY} ${NIGH_PROBES_GLOBAL} ${relocated}
        DEPENDS nigh_objects nigh_memory_${backend} ${objects}
        COMMENT "Relocating ${output} into one object with local internals"
        COMMAND_EXPAND_LISTS VERBATIM)
    add_library(${target}_static STATIC ${relocated})
    set_source_files_properties(${relocated} PROPERTIES EXTERNAL_OBJECT ON GENERATED ON)
    set_target_properties(${target}_static PROPERTIES OUTPUT_NAME ${output} LINKER_LANGUAGE C)
    target_link_libraries(${target}_static INTERFACE ${ARGN} Threads::Threads)
    # For a plugin that has us inside: it must not be unloaded either.
    target_link_options(${target}_static INTERFACE -Wl,-z,nodelete)

    foreach(product ${target} ${target}_static)
        add_library(nigh::${product} ALIAS ${product})
        target_include_directories(${product} INTERFACE
            $<BUILD_INTERFACE:${PROJECT_SOURCE_DIR}/include>
            $<INSTALL_INTERFACE:${CMAKE_INSTALL_INCLUDEDIR}>)
    endforeach()
endfunction()

nigh_add_products(nigh nigh ${NIGH_ALLOCATOR} ${NIGH_LINKED})
nigh_add_products(nigh_system nigh-system system ${NIGH_LINKED_SYSTEM})

# The program nigh, which sees only the public headers.
file(GLOB NIGH_TOOL_SOURCES CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/lib/tool/*.c)
add_executable(nigh_tool ${NIGH_TOOL_SOURCES})
set_target_properties(nigh_tool PROPERTIES OUTPUT_NAME nigh)
if(NIGH_SANITIZE)
    target_link_libraries(nigh_tool PRIVATE nigh_flags nigh_internal)
else()
    target_link_libraries(nigh_tool PRIVATE nigh_flags nigh)
endif()

add_library(nigh_internal STATIC EXCLUDE_FROM_ALL
    $<TARGET_OBJECTS:nigh_objects> $<TARGET_OBJECTS:nigh_memory_${NIGH_ALLOCATOR}>)
set_target_properties(nigh_internal PROPERTIES LINKER_LANGUAGE C)
target_link_libraries(nigh_internal PUBLIC nigh_flags ${NIGH_LINKED} Threads::Threads)
