#!/bin/sh
# Compiles the vector and code searches with every C compiler at hand (gcc, clang, and gcc for AArch64, whose NEON
# kernels then run under qemu), warnings as errors, and checks each SIMD level against brute force. An argument names the
# only compiler to use. On Debian: apt-get install clang gcc-aarch64-linux-gnu qemu-user
set -eu
only=${1:-}

cd "$(dirname "$0")/../.."
out=$(mktemp -d)
trap 'rm -rf "$out"' EXIT
sources="csrc/cpu_features.c csrc/thread_pool.c csrc/topk.c csrc/topk_generic.c csrc/topk_x86.c
         csrc/hamming.c csrc/hamming_generic.c csrc/hamming_x86.c csrc/multi_index.c"
flags="-std=c11 -O2 -Wall -Wextra -Werror -Wno-psabi -ffp-contract=off -pthread -Icsrc"

check() { # compiler, command that runs the program, levels
    if [ -n "$only" ] && [ "$1" != "$only" ]; then
        return
    fi
    if ! command -v "$1" >/dev/null; then
        echo "$1: not installed"
        return
    fi
    echo "$1"
    # shellcheck disable=SC2086
    "$1" $flags ${4:-} tests/rank/check_kernels.c $sources -o "$out/check" -lm
    for level in $3; do
        $2 "$out/check" "$level"
    done
}

check gcc "" "0 1 2 3 5"
check clang "" "0 1 2 3 5"
if command -v qemu-aarch64 >/dev/null; then
    check aarch64-linux-gnu-gcc qemu-aarch64 4 -static
fi
