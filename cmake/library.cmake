# SPDX-License-Identifier: MIT
# One set of objects, three products:
#   nigh           libnigh.so.0: exports nigh_* and nothing else
#   nigh_static    libnigh.a: ONE relocated object whose hidden symbols are local, so that
#                  an application's own l1_find neither clashes with ours nor replaces it
#   nigh_internal  for tests only: hidden symbols can be reached

file(GLOB NIGH_SOURCES CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/lib/*/*.c)
add_library(nigh_objects OBJECT ${NIGH_SOURCES})
target_include_directories(nigh_objects PRIVATE ${NIGH_GENERATED_DIR})
target_link_libraries(nigh_objects PRIVATE nigh_flags ${NIGH_LINKED} Threads::Threads)
# initial-exec: a thread-local access on the hit path is one instruction, not a call.
target_compile_options(nigh_objects PRIVATE
    -fvisibility=hidden -ftls-model=initial-exec -fno-lto)
set_target_properties(nigh_objects PROPERTIES POSITION_INDEPENDENT_CODE ON)
# The two files that a hit lies in: the register and the five instructions are worth 3 % of it. With
# wide types split, gcc 12 sends the hash's product of 128 bits through memory.
set_source_files_properties(
    ${PROJECT_SOURCE_DIR}/lib/cache/read.c ${PROJECT_SOURCE_DIR}/lib/cache/read_many.c
    PROPERTIES COMPILE_OPTIONS
    "-fomit-frame-pointer;$<$<C_COMPILER_ID:GNU>:-fno-split-wide-types>")

set(NIGH_MAP ${PROJECT_SOURCE_DIR}/lib/nigh.map)
add_library(nigh SHARED $<TARGET_OBJECTS:nigh_objects>)
add_library(nigh::nigh ALIAS nigh)
set_target_properties(nigh PROPERTIES
    VERSION ${PROJECT_VERSION} SOVERSION 0 LINKER_LANGUAGE C LINK_DEPENDS ${NIGH_MAP})
target_link_libraries(nigh PRIVATE ${NIGH_LINKED} Threads::Threads)
# nodelete: a thread of ours may still be on its way out when the host calls dlclose.
target_link_options(nigh PRIVATE ${NIGH_SANITIZE_FLAGS}
    -Wl,--version-script=${NIGH_MAP} -Wl,-z,nodelete -Wl,-z,relro -Wl,-z,now)
if(NOT NIGH_SANITIZE) # a sanitizer's runtime is in the program, not in us
    target_link_options(nigh PRIVATE -Wl,-z,defs)
endif()

set(NIGH_RELOCATED ${PROJECT_BINARY_DIR}/nigh.o)
add_custom_command(OUTPUT ${NIGH_RELOCATED}
    COMMAND ${CMAKE_LINKER} -r -o ${NIGH_RELOCATED} $<TARGET_OBJECTS:nigh_objects>
    COMMAND ${CMAKE_OBJCOPY} --localize-hidden ${NIGH_RELOCATED}
    DEPENDS nigh_objects $<TARGET_OBJECTS:nigh_objects>
    COMMENT "Relocating nigh into one object with local internals"
    COMMAND_EXPAND_LISTS VERBATIM)
add_library(nigh_static STATIC ${NIGH_RELOCATED})
add_library(nigh::nigh_static ALIAS nigh_static)
set_source_files_properties(${NIGH_RELOCATED} PROPERTIES EXTERNAL_OBJECT ON GENERATED ON)
set_target_properties(nigh_static PROPERTIES OUTPUT_NAME nigh LINKER_LANGUAGE C)
target_link_libraries(nigh_static INTERFACE ${NIGH_LINKED} Threads::Threads)

foreach(product nigh nigh_static)
    target_include_directories(${product} INTERFACE
        $<BUILD_INTERFACE:${PROJECT_SOURCE_DIR}/include>
        $<INSTALL_INTERFACE:${CMAKE_INSTALL_INCLUDEDIR}>)
endforeach()

add_library(nigh_internal STATIC EXCLUDE_FROM_ALL $<TARGET_OBJECTS:nigh_objects>)
set_target_properties(nigh_internal PROPERTIES LINKER_LANGUAGE C)
target_link_libraries(nigh_internal PUBLIC nigh_flags ${NIGH_LINKED} Threads::Threads)
