#!/bin/sh
# SPDX-License-Identifier: MIT
# Installs into a temporary prefix, then builds and runs outside the tree against it a C and a C++
# program and a plugin: shared and static, of both allocators, through pkg-config and through CMake.
# Usage: run.sh BUILD INTERNAL_ARCHIVE ALLOCATOR CMAKE CC CXX NM
#
# Each program also holds a function for every hidden function of ours, under the same name,
# that traps: a library that let one of its internals be replaced would not get far.
#
# jemalloc wants more thread-local storage than glibc keeps for what is loaded late. That is the
# reason for the plugins' GLIBC_TUNABLES; what is linked to nigh-system loads without it.
set -eu
build=$1 internal=$2 allocator=$3 cmake=$4 cc=$5 cxx=$6 nm=$7
here=$(cd "$(dirname "$0")" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
trap 'exit 1' INT TERM

prefix=$work/prefix
"$cmake" --install "$build" --prefix "$prefix" >"$work/install.log"
PKG_CONFIG_PATH=$(dirname "$(find "$prefix" -name nigh.pc)")
LD_LIBRARY_PATH=$(dirname "$(find "$prefix" -name libnigh.so)")
export PKG_CONFIG_PATH LD_LIBRARY_PATH

fail() {
    echo "$*"
    exit 1
}

for page in nigh nigh_fetch nigh_invalidate_many; do
    [ -e "$(find "$prefix" -path "*/man/man3/$page.3")" ] || fail "$page(3) is not installed"
done

# The examples, as somebody who has only what is installed builds them.
cp -r "$(find "$prefix" -type d -name examples)" "$work/examples"
make -C "$work/examples" CC="$cc" CFLAGS="-O1 -Wall -Wextra -Werror" >"$work/make.log" 2>&1 ||
    { cat "$work/make.log"; fail "the installed examples do not build"; }

# What ldconfig, run after the installation, makes of it: programs find their library by its
# soname. (With a cache of its own: it is the system's that README renews.)
dirname "$(find "$prefix" -name libnigh.so)" >"$work/ld.so.conf"
ldconfig=$(PATH=$PATH:/usr/sbin:/sbin && command -v ldconfig)
"$ldconfig" -X -f "$work/ld.so.conf" -C "$work/ld.so.cache"
"$ldconfig" -p -C "$work/ld.so.cache" | grep -q "libnigh\.so\.0 .*$prefix" ||
    fail "ldconfig does not find the library in $prefix"

"$nm" -g --defined-only "$internal" |
    awk '$2 == "T" && $3 !~ /^nigh_/ {
        printf "void %s(void);\nvoid %s(void)\n{\n    __builtin_trap();\n}\n", $3, $3 }' \
        >"$work/clash.c"
[ -s "$work/clash.c" ] || fail "no internal functions found in $internal"
# And it may have probes of its own, as the library has.
if echo '#include <sys/sdt.h>' | "$cc" -E - >/dev/null 2>&1; then
    printf '%s\n' '#include <sys/sdt.h>' 'void probed(void);' \
        'void probed(void) { DTRACE_PROBE(host, probed); }' >>"$work/clash.c"
fi

# linked FILE KIND LIBRARY: it needs the shared library if and only if it is of that kind, and
# jemalloc if and only if its library is over jemalloc.
linked() {
    needed=$(readelf -d "$1" | sed -n 's/.*(NEEDED).*\[\(.*\)\]/\1/p')
    case $2:$needed in
        shared:*"lib$3.so.0"*) needed=$(readelf -d "$LD_LIBRARY_PATH/lib$3.so.0") ;;
        shared:* | static:*libnigh*) fail "$1 is not linked to the $2 $3: $needed" ;;
    esac
    case $3:$allocator:$needed in
        nigh:jemalloc:*libjemalloc*) ;;
        nigh:jemalloc:*) fail "$1 is not linked to jemalloc" ;;
        *libjemalloc*) fail "$1 is linked to jemalloc" ;;
    esac
}

# try NAME FILE KIND LIBRARY
try() {
    echo "--- $1"
    "$2"
    linked "$2" "$3" "$4"
}

tunables=glibc.rtld.optional_static_tls=4096

# plugin NAME FILE KIND LIBRARY
plugin() {
    echo "--- $1"
    linked "$2" "$3" "$4"
    flags=$(readelf -d "$2" | grep FLAGS_1 || true)
    case $3:$flags in
        shared:* | static:*NODELETE*) ;;
        *) fail "$1 may be unloaded with nigh in it" ;;
    esac
    [ "$4" = nigh ] || GLIBC_TUNABLES='' "$work/load" "$2"
    GLIBC_TUNABLES=$tunables "$work/load" "$2"
}

"$cc" -std=gnu11 -Wall -Wextra -Werror "$here/load.c" -o "$work/load" -ldl -pthread
"$cc" -c "$work/clash.c" -o "$work/clash.o"
for library in nigh nigh-system; do
    for kind in shared static; do
        flags=$(pkg-config --cflags $library)
        libs=$(pkg-config --libs $library)
        [ $kind = shared ] ||
            libs=$(pkg-config --static --libs $library | sed "s/-l$library\b/-l:lib$library.a/")
        name=$work/pc-$library-$kind
        # shellcheck disable=SC2086 # lists of flags on purpose
        {
            "$cc" -std=c11 "$here/use.c" "$work/clash.o" $flags $libs -o "$name-c"
            "$cxx" -std=c++17 -Wall -Wextra -Werror "$here/use.cc" "$work/clash.o" $flags $libs \
                -o "$name-cxx"
            "$cc" -std=c11 -fPIC -shared -Dmain=use_main "$here/use.c" $flags $libs -o "$name.so"
        }
        try "${name##*/}-c" "$name-c" $kind $library
        try "${name##*/}-cxx" "$name-cxx" $kind $library
        plugin "${name##*/}.so" "$name.so" $kind $library
    done
done

generator=$(sed -n 's/^CMAKE_GENERATOR:INTERNAL=//p' "$build/CMakeCache.txt") # what is installed
CC=$cc CXX=$cxx "$cmake" -G "$generator" -S "$here" -B "$work/user" -DCMAKE_PREFIX_PATH="$prefix" \
    -DCMAKE_BUILD_TYPE=Release -DCMAKE_CXX_STANDARD=17 -DCLASH="$work/clash.c" >"$work/user.log"
"$cmake" --build "$work/user" >>"$work/user.log" || { cat "$work/user.log"; exit 1; }
for target in nigh nigh_static nigh_system nigh_system_static; do
    case $target in *_static) kind=static ;; *) kind=shared ;; esac
    case $target in *system*) library=nigh-system ;; *) library=nigh ;; esac
    try "cmake-c-$target" "$work/user/c_$target" $kind $library
    try "cmake-cxx-$target" "$work/user/cxx_$target" $kind $library
    plugin "cmake-plugin-$target" "$work/user/libplugin_$target.so" $kind $library
done
