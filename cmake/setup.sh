#!/bin/sh
# SPDX-License-Identifier: MIT
# Set-up and build, shared by test/run and perf/run.
#
#   NIGH_SOURCE=path of the checkout; . "$NIGH_SOURCE/cmake/setup.sh"
#   nigh_setup [WHAT]                 install what is missing (Debian, Ubuntu); quick if nothing is.
#                                     words: bench for what the benchmarks' baselines are made of,
#                                     input for what reads traces, report for what reads results;
#                                     nothing: what tests and examples are made of
#   nigh_build_dir KIND               print the build folder for KIND ("debug", "release", ...)
#   nigh_build KIND [CMAKE OPTION...] configure and build there; NIGH_TARGET: only this
#
# Called as a program it does nigh_setup and nothing else.
#
# Probes ask for the thing itself (a command, a pkg-config module), not for a package: what was
# built from source counts, and a second run takes milliseconds and no call of apt.
#
# Redis: Debian's redis-server package starts a system service when installed and again at each
# boot. We need the program only. redis-tools carries it without a service (its redis-check-rdb
# is the same binary, which looks at the name it was called by), so where no redis-server is in
# PATH we install redis-tools and put a link of that name into our cache folder. Valkey's packages
# are made alike.

nigh_wants=
NIGH_CACHE=${NIGH_CACHE:-${XDG_CACHE_HOME:-${HOME:-/tmp}/.cache}/nigh}

nigh_fail() {
    echo "nigh: $*" >&2
    return 1
}

# Lines of "package probe"; a probe is a command or pc:module.
nigh_packages() {
    cat <<'END'
gcc cc
g++ c++
cmake cmake
ninja-build ninja
pkg-config pkg-config
libhiredis-dev pc:hiredis
liburcu-dev pc:liburcu-bp
libjemalloc-dev pc:jemalloc
libxxhash-dev pc:libxxhash
liblz4-dev pc:liblz4
libzstd-dev pc:libzstd
libssl-dev pc:openssl
libsqlite3-dev pc:sqlite3
liblua5.1-0-dev pc:lua5.1
redis-tools redis-server
python3 python3
END
    [ -n "$nigh_wants" ] || cat <<'END'
libjansson-dev pc:jansson
libevent-dev pc:libevent_pthreads
libuv1-dev pc:libuv
libmicrohttpd-dev pc:libmicrohttpd
systemtap-sdt-dev dtrace
make make
END
    case " $nigh_wants " in *' bench '* | *' input '*) echo 'libzstd-dev pc:libzstd' ;; esac
    case " $nigh_wants " in *' report '*) echo 'libjansson-dev pc:jansson' ;; esac
    case " $nigh_wants " in *' bench '*) ;; *) return ;; esac
    cat <<'END'
libck-dev pc:ck
libglib2.0-dev pc:glib-2.0
END
}

nigh_has() {
    case $1 in
        pc:*) command -v pkg-config >/dev/null && pkg-config --exists "${1#pc:}" ;;
        *) command -v "$1" >/dev/null ;;
    esac
}

# The packages whose probe fails, each with a blank before it.
nigh_missing() {
    nigh_packages | while read -r package probe; do
        nigh_has "$probe" || printf ' %s' "$package"
    done
}

# nigh_link SERVER CHECK
nigh_link() {
    command -v "$1" >/dev/null && return
    check=$(command -v "$2") || return 0
    mkdir -p "$NIGH_CACHE/bin" && ln -sf "$check" "$NIGH_CACHE/bin/$1"
}

# nigh_apt AS_ROOT PACKAGE...: the lists are fetched only if apt cannot do without.
nigh_apt() {
    as_root=$1
    shift
    apt="$as_root env DEBIAN_FRONTEND=noninteractive apt-get -o DPkg::Lock::Timeout=300"
    set -- install -y --no-install-recommends "$@"
    $apt "$@" >"$NIGH_CACHE/setup.log" 2>&1 && return
    $apt update >"$NIGH_CACHE/setup.log" 2>&1 && $apt "$@" >>"$NIGH_CACHE/setup.log" 2>&1 && return
    tail -n 5 "$NIGH_CACHE/setup.log" >&2
    nigh_fail "apt-get failed (log: $NIGH_CACHE/setup.log)"
}

# nigh_optional PACKAGE COMMAND WHAT: what some tests want, and are skipped without. Failing is no
# failure, and is not tried again. It asks nobody for a password.
nigh_optional() {
    nigh_has "$2" && return 0
    [ ! -e "$NIGH_CACHE/no-$1" ] && command -v apt-get >/dev/null || return 0
    mkdir -p "$NIGH_CACHE" || return 0
    as_root=
    [ "$(id -u)" -eq 0 ] || as_root='sudo -n'
    echo "nigh: installing $1"
    nigh_apt "$as_root" "$1" 2>/dev/null && return 0
    : >"$NIGH_CACHE/no-$1"
    echo "nigh: without $1 $3 skipped (log: $NIGH_CACHE/setup.log)"
}

# Valkey is packaged from Debian 13 on.
nigh_optional_valkey() {
    nigh_has valkey-server && return
    if [ -n "$(apt-cache madison valkey-tools 2>/dev/null)" ]; then
        nigh_optional valkey-tools valkey-check-rdb 'the tests against Valkey are'
    fi
    nigh_link valkey-server valkey-check-rdb
}

nigh_required() {
    nigh_link redis-server redis-check-rdb
    missing=$(nigh_missing)
    [ -n "$missing" ] || return 0

    command -v apt-get >/dev/null || {
        nigh_fail "no apt-get here to install what is missing (Debian's names):$missing"
        return 1
    }
    as_root=
    if [ "$(id -u)" -ne 0 ]; then
        command -v sudo >/dev/null || {
            nigh_fail "neither root nor sudo; somebody must: apt-get install$missing"
            return 1
        }
        as_root=sudo
        [ -t 0 ] || as_root='sudo -n' # nobody could type a password
    fi
    mkdir -p "$NIGH_CACHE" || return 1
    echo "nigh: installing$missing"
    # shellcheck disable=SC2086 # a list of words on purpose
    nigh_apt "$as_root" $missing || return 1
    nigh_link redis-server redis-check-rdb
    missing=$(nigh_missing)
    [ -z "$missing" ] || nigh_fail "still missing after installing:$missing"
}

nigh_setup() {
    nigh_wants=${1:-}
    case :$PATH: in *":$NIGH_CACHE/bin:"*) ;; *) export PATH="$PATH:$NIGH_CACHE/bin" ;; esac
    nigh_required || return 1
    [ -z "$nigh_wants" ] || return 0
    nigh_optional spin spin 'the tests of the models are'
    nigh_optional_valkey
}

# Outside the checkout, one per checkout and kind; NIGH_BUILD overrides the place of all kinds.
nigh_build_dir() {
    checkout=$(cd "$NIGH_SOURCE" && pwd -P)
    id=$(printf '%s' "$checkout" | cksum | cut -d' ' -f1)
    echo "${NIGH_BUILD:-$NIGH_CACHE/build-$id}/$1"
}

# What a folder was configured with: whose it is, the options, and what was there and missing then,
# which CMake would look for again. A file of CMake's that has changed is seen by the build itself.
nigh_configuration() {
    printf '%s\n' "$NIGH_SOURCE" "$@" "${CC:-}" "${CXX:-}" "${CFLAGS:-}" \
        "${CXXFLAGS:-}" "${LDFLAGS:-}"
    (nigh_wants= && nigh_missing && nigh_wants='bench input report' && nigh_missing)
    for probe in valkey-server clang javac go pc:tbb; do # what is optional
        ! nigh_has "$probe" || printf ' %s' "$probe"
    done
}

# nigh_configure FOLDER [CMAKE OPTION...]: seconds, so not where nothing of that has changed.
nigh_configure() {
    build=$1
    shift
    configuration=$(nigh_configuration "$@")
    [ ! -e "$build/build.ninja" ] || [ ! -e "$build/configured" ] ||
        [ "$(cat "$build/configured")" != "$configuration" ] || return 0
    rm -f "$build/configured"
    cmake -S "$NIGH_SOURCE" -B "$build" -G Ninja "$@" >"$build/configure.log" 2>&1 || {
        cat "$build/configure.log" >&2
        nigh_fail "cmake failed"
        return 1
    }
    echo "$configuration" >"$build/configured"
}

nigh_build() {
    build=$(nigh_build_dir "$1")
    shift
    mkdir -p "$build" || return 1
    echo "nigh: building in $build"
    nigh_configure "$build" "$@" || return 1
    cmake --build "$build" ${NIGH_TARGET:+--target "$NIGH_TARGET"} || nigh_fail "the build failed"
}

case $0 in
    */setup.sh | setup.sh) nigh_setup ;;
esac
