#!/bin/sh
# Builds the kernels with AddressSanitizer and UndefinedBehaviorSanitizer in a scratch copy and runs the kernel
# tests over them. Usage, from the project root, in an environment with the test extra: tests/rank/sanitizers.sh
# Python never frees some of its memory, so leaks are not looked for. What runs on devices is JAX's, and left out.
set -eu

root=$(cd "$(dirname "$0")/../.." && pwd)
python=${PYTHON:-python}
copy=$(mktemp -d)
trap 'rm -rf "$copy"' EXIT
mkdir -p "$copy/tests"
cp -R "$root/csrc" "$root/jaxret" "$root/setup.py" "$root/pyproject.toml" "$root/LICENSE" "$copy/"
cp -R "$root/tests/rank" "$root/tests/reference" "$root/tests/conftest.py" "$copy/tests/"
touch "$copy/README.md"
find "$copy" \( -name '*.so' -o -path '*/rank/_*.c' \) -exec rm -f {} +
cd "$copy"

JAXRET_SANITIZE=address,undefined "$python" setup.py -q build_ext --inplace

# The runtime must come first in a process whose main program was built without it; libstdc++ is there so that
# its exceptions are intercepted in the C++ libraries that other packages load.
preload="$(${CC:-gcc} -print-file-name=libasan.so) $(${CC:-gcc} -print-file-name=libubsan.so) $(${CC:-gcc} -print-file-name=libstdc++.so)"
LD_PRELOAD="$preload" \
    ASAN_OPTIONS="detect_leaks=0:allocator_may_return_null=1:strict_string_checks=1" \
    UBSAN_OPTIONS="print_stacktrace=1:halt_on_error=1" \
    PYTHONMALLOC=malloc \
    "$python" -m pytest -q -n 2 -p no:cacheprovider --capture=sys tests/rank --ignore tests/rank/device \
    --deselect tests/rank/test_threads.py::test_interrupted_by_ctrl_c \
    --deselect tests/rank/test_topk.py::test_jax_arrays_and_bfloat16 "$@"
