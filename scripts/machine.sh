# Sourced by the other scripts: what a build needs of the machine, installed where it is missing, and the settings
# that every build shares. The compiler cache and cargo's registry stay in the home directory, outside the checkout,
# so that a second checkout does not pay for RocksDB again.

CHECKOUT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
NEEDED_RUST=1.95

say() { printf '==> %s\n' "$*" >&2; }
stop() { printf 'error: %s\n' "$*" >&2; exit 1; }

require_rust() {
    [ -f "$HOME/.cargo/env" ] && . "$HOME/.cargo/env"
    command -v cargo >/dev/null 2>&1 \
        || stop "cargo was not found: install Rust $NEEDED_RUST or newer with rustup, then run this again"
    local found
    found=$(rustc --version | cut -d' ' -f2)
    [ "$(printf '%s\n%s\n' "$NEEDED_RUST" "$found" | sort -V | head -n1)" = "$NEEDED_RUST" ] \
        || stop "Rust $found is too old: Cauce needs $NEEDED_RUST or newer (rustup update stable)"
}

has_libclang() {
    [ -n "${LIBCLANG_PATH:-}" ] && return 0
    compgen -G '/usr/lib/llvm-*/lib/libclang*.so*' >/dev/null && return 0
    compgen -G '/usr/lib/*/libclang*.so*' >/dev/null && return 0
    compgen -G '/usr/lib64/libclang*.so*' >/dev/null
}

has_cxx() { command -v clang++ >/dev/null 2>&1 || command -v g++ >/dev/null 2>&1; }

# Sets `missing` (the build fails without them) and `slow` (the build works without them, for longer).
find_missing_packages() {
    missing=() slow=() reasons=()
    if ! has_cxx; then
        missing+=(clang); reasons+=("clang: compiles RocksDB (C++) and zstd (C)")
    fi
    if ! has_libclang; then
        missing+=(libclang-dev); reasons+=("libclang-dev: reads RocksDB's C header when its Rust bindings are made")
    fi
    if ! command -v cc >/dev/null 2>&1 && has_cxx; then
        missing+=(gcc libc6-dev); reasons+=("gcc, libc6-dev: rustc links with cc")
    fi
    if ! command -v ccache >/dev/null 2>&1; then
        slow+=(ccache); reasons+=("ccache: RocksDB compiles for minutes once, and in seconds ever after")
    fi
}

install_missing_packages() {
    find_missing_packages
    local wanted=("${missing[@]}" "${slow[@]}")
    [ ${#wanted[@]} -eq 0 ] && return 0
    say "this machine lacks what the build uses:"
    printf '      %s\n' "${reasons[@]}" >&2
    local can_install=yes
    command -v apt-get >/dev/null 2>&1 || can_install="apt-get was not found"
    [ "$(id -u)" -eq 0 ] || can_install="that needs root"
    if [ "$can_install" = yes ]; then
        say "installing with apt-get: ${wanted[*]}"
        export DEBIAN_FRONTEND=noninteractive
        if apt-get update && apt-get install -y --no-install-recommends "${wanted[@]}"; then
            return 0
        fi
        can_install="apt-get failed, see above"
    fi
    [ ${#missing[@]} -eq 0 ] || stop "could not install ${missing[*]} ($can_install): install them by hand, on Debian with: sudo apt-get install -y ${wanted[*]}"
    say "going on without ${slow[*]} ($can_install)"
}

choose_compilers() {
    if [ -z "${CC:-}${CXX:-}" ] && command -v clang >/dev/null 2>&1 && command -v clang++ >/dev/null 2>&1; then
        export CC=clang CXX=clang++
        if command -v ccache >/dev/null 2>&1; then
            export CC="ccache clang" CXX="ccache clang++"
            # Keyed by content, not by place: a second checkout on this machine finds the objects of the first.
            export CCACHE_NOHASHDIR=1 CCACHE_BASEDIR="$CHECKOUT"
        fi
    fi
}

prepare_machine() {
    require_rust
    install_missing_packages
    choose_compilers
    cd "$CHECKOUT" || exit 1
}

# Runs its arguments and, while they run, says every 20 seconds how far RocksDB is: cargo itself is silent during
# those minutes.
with_progress() {
    local mark watcher result
    mark=$(mktemp)
    watch_rocksdb "$mark" &
    watcher=$!
    trap 'kill "$watcher" 2>/dev/null; rm -f "$mark"' EXIT
    "$@"
    result=$?
    kill "$watcher" 2>/dev/null
    wait "$watcher" 2>/dev/null
    rm -f "$mark"
    trap - EXIT
    return $result
}

watch_rocksdb() {
    local count last=0
    while sleep 20; do
        count=$(find "${CARGO_TARGET_DIR:-$CHECKOUT/target}" -path '*/librocksdb-sys-*/out/*' -name '*.o' -newer "$1" 2>/dev/null | wc -l)
        [ "$count" = "$last" ] || say "RocksDB: $count of about 345 C++ files compiled"
        last=$count
    done
}
