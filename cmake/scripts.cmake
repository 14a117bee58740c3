# SPDX-License-Identifier: MIT
# The Lua scripts of lib/l2/scripts/, as C: generated/l2/script_texts.h in the build folder.
#
# A file with a line `-- needs: A B` is a script: the text that goes to Redis is A.lua, then
# B.lua, then the file itself. A line `-- include: C` in any of them stands for C.lua: what is made
# there, functions above all, is made only where the script gets so far. For each script there are
# NAME_text and NAME_sha1, the digest by which Redis knows it. For each `local CAPITALS = NUMBER`,
# of any file, there is LUA_CAPITALS: what Lua and C must agree on can be compared at compile time.
#
# Made when CMake runs, which it does again when a file changes, comes, or goes.

set(scripts_dir ${PROJECT_SOURCE_DIR}/lib/l2/scripts)
set(NIGH_GENERATED_DIR ${PROJECT_BINARY_DIR}/generated)

# The text as a C string: each line a literal of its own.
function(nigh_c_string text ret)
    string(REPLACE "\\" "\\\\" text "${text}")
    string(REPLACE "\"" "\\\"" text "${text}")
    string(REPLACE "\n" "\\n\"\n    \"" text "${text}")
    set(${ret} "\"${text}\"" PARENT_SCOPE)
endfunction()

file(GLOB script_files CONFIGURE_DEPENDS ${scripts_dir}/*.lua)
set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${script_files})
set(script_constants "")
set(script_texts "")
foreach(file ${script_files})
    file(READ ${file} text)
    string(REGEX MATCHALL "local [A-Z][A-Z0-9_]* = [0-9]+[ \n]" constants "${text}")
    foreach(constant ${constants})
        string(REGEX REPLACE "local ([A-Z0-9_]+) = ([0-9]+)." "#define LUA_\\1 \\2\n"
            define "${constant}")
        string(APPEND script_constants "${define}")
    endforeach()

    if(text MATCHES "\n-- needs:([a-z_ ]*)\n")
        string(REGEX MATCHALL "[a-z_]+" needs "${CMAKE_MATCH_1}")
        set(whole "")
        foreach(piece ${needs})
            file(READ ${scripts_dir}/${piece}.lua piece_text)
            string(APPEND whole "${piece_text}\n")
        endforeach()
        string(APPEND whole "${text}")
        while(whole MATCHES "-- include: ([a-z_]+)\n")
            set(include "${CMAKE_MATCH_0}")
            file(READ ${scripts_dir}/${CMAKE_MATCH_1}.lua piece_text)
            string(REPLACE "${include}" "${piece_text}" whole "${whole}")
        endwhile()
        string(SHA1 sha1 "${whole}")
        nigh_c_string("${whole}" literal)
        get_filename_component(name ${file} NAME_WE)
        string(APPEND script_texts "\nstatic const char ${name}_text[] =\n    ${literal};\n"
            "static const char ${name}_sha1[] = \"${sha1}\";\n")
    endif()
endforeach()

# Written only if it differs, so that nothing is compiled again for nothing.
string(CONCAT script_header
    "/* Made by cmake/scripts.cmake from lib/l2/scripts/. */\n"
    "${script_constants}" "${script_texts}")
file(CONFIGURE OUTPUT ${NIGH_GENERATED_DIR}/l2/script_texts.h
    CONTENT "@script_header@" @ONLY NEWLINE_STYLE UNIX)
