#!/bin/sh
# SPDX-License-Identifier: MIT
# Installs into a temporary prefix, then builds and runs a C and a C++ program outside the tree
# against it: shared and static, through pkg-config and through CMake.
# Usage: run.sh BUILD INTERNAL_ARCHIVE CMAKE CC CXX NM
#
# Each program also holds a function for every hidden function of ours, under the same name,
# that traps: a library that let one of its internals be replaced would not get far.
set -eu
build=$1 internal=$2 cmake=$3 cc=$4 cxx=$5 nm=$6
here=$(cd "$(dirname "$0")" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
trap 'exit 1' INT TERM

prefix=$work/prefix
"$cmake" --install "$build" --prefix "$prefix" >"$work/install.log"
PKG_CONFIG_PATH=$(dirname "$(find "$prefix" -name nigh.pc)")
LD_LIBRARY_PATH=$(dirname "$(find "$prefix" -name libnigh.so)")
export PKG_CONFIG_PATH LD_LIBRARY_PATH

"$nm" -g --defined-only "$internal" |
    awk '$2 == "T" && $3 !~ /^nigh_/ {
        printf "void %s(void);\nvoid %s(void)\n{\n    __builtin_trap();\n}\n", $3, $3 }' \
        >"$work/clash.c"
[ -s "$work/clash.c" ] || { echo "no internal functions found in $internal"; exit 1; }

# try NAME: run it, and see that it needs libnigh.so if and only if it is shared.
try() {
    echo "--- $1"
    "$work/$1"
    if ldd "$work/$1" | grep -q libnigh; then kind=shared; else kind=static; fi
    case $1 in *"$kind") ;; *) echo "$1 is linked $kind"; exit 1 ;; esac
}

flags=$(pkg-config --cflags nigh)
shared=$(pkg-config --libs nigh)
static=$(pkg-config --static --libs nigh | sed 's/-lnigh/-l:libnigh.a/')
# shellcheck disable=SC2086 # lists of flags on purpose
{
    "$cc" -c "$work/clash.c" -o "$work/clash.o"
    "$cc" -std=c11 "$here/use.c" "$work/clash.o" $flags $shared -o "$work/pc-c-shared"
    "$cc" -std=c11 "$here/use.c" "$work/clash.o" $flags $static -o "$work/pc-c-static"
    "$cxx" -std=c++17 "$here/use.cc" "$work/clash.o" $flags $shared -o "$work/pc-cxx-shared"
    "$cxx" -std=c++17 "$here/use.cc" "$work/clash.o" $flags $static -o "$work/pc-cxx-static"
}
for program in pc-c-shared pc-c-static pc-cxx-shared pc-cxx-static; do
    try $program
done

generator=$(sed -n 's/^CMAKE_GENERATOR:INTERNAL=//p' "$build/CMakeCache.txt") # what is installed
CC=$cc CXX=$cxx "$cmake" -G "$generator" -S "$here" -B "$work/user" -DCMAKE_PREFIX_PATH="$prefix" \
    -DCMAKE_BUILD_TYPE=Release -DCMAKE_CXX_STANDARD=17 -DCLASH="$work/clash.c" >"$work/user.log"
"$cmake" --build "$work/user" >>"$work/user.log" || { cat "$work/user.log"; exit 1; }
ln -s user/c_nigh "$work/cmake-c-shared"
ln -s user/c_nigh_static "$work/cmake-c-static"
ln -s user/cxx_nigh "$work/cmake-cxx-shared"
ln -s user/cxx_nigh_static "$work/cmake-cxx-static"
for program in cmake-c-shared cmake-c-static cmake-cxx-shared cmake-cxx-static; do
    try $program
done
