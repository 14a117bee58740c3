#!/bin/sh
# SPDX-License-Identifier: MIT
# Each public header compiles alone, as C11 and as C++17, nigh.hpp as C++17 only.
# Usage: headers.sh SOURCE CC CXX
cd "$1" || exit 2

# alone COMPILER LANGUAGE STANDARD HEADER
alone() {
    echo "#include <nigh/$4>" |
        "$1" -x "$2" -std="$3" -Wall -Wextra -Werror -pedantic -Iinclude -fsyntax-only - && return
    echo "include/nigh/$4: does not compile alone as $3"
    failed=1
}
for header in include/nigh/*.h; do
    alone "$2" c c11 "${header##*/}"
    alone "$3" c++ c++17 "${header##*/}"
done
alone "$3" c++ c++17 nigh.hpp
exit "${failed:-0}"
