"""The harnesses of the kernels in C: built under sanitizers, with libFuzzer where clang has it."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

__all__ = ["KERNELS", "build_kernel"]

ROOT = Path(__file__).parents[2]
KERNELS = {
    "codes": ("hamming*.c", "multi_index.c"),
    "vectors": ("topk*.c",),
    "dtw": ("dtw*.c",),
}
"""The sources in csrc/ that each harness in kernels/ calls."""


def build_kernel(name: str, folder: Path, *, standalone: bool | None = None) -> Path:
    """Compile a harness; the program takes libFuzzer's flags `-runs`, `-seed`, `-max_total_time` and `-max_len`.

    Args:
      name: of `KERNELS`.
      folder: where the program is written.
      standalone: with the random mutations of standalone.c; None: only where clang and its libFuzzer are missing.
    """
    if standalone is None:
        standalone = not _has_libfuzzer(folder)
    sources = [path for pattern in KERNELS[name] for path in sorted((ROOT / "csrc").glob(pattern))]
    sources += [ROOT / "csrc" / "thread_pool.c", ROOT / "csrc" / "cpu_features.c"]
    harness = ROOT / "tests" / "fuzz" / "kernels"
    sources.append(harness / f"fuzz_{name}.c")
    sanitizers = "address,undefined" if standalone else "fuzzer,address,undefined"
    if standalone:
        sources.append(harness / "standalone.c")
    program = folder / f"fuzz_{name}"
    flags = ["-std=c11", "-g", "-O2", "-ffp-contract=off", "-fno-sanitize-recover=all", f"-fsanitize={sanitizers}"]
    compiler = "cc" if standalone else "clang"
    command = [compiler, *flags, f"-I{ROOT / 'csrc'}", *map(str, sources), "-lm", "-pthread", "-o", str(program)]
    subprocess.run(command, check=True)
    return program


def _has_libfuzzer(folder: Path) -> bool:
    if shutil.which("clang") is None:
        return False
    probe = folder / "probe.c"
    probe.write_text(
        "int LLVMFuzzerTestOneInput(const unsigned char *d, unsigned long n) { return d && n > 9999999; }\n"
    )
    command = ["clang", "-fsanitize=fuzzer", str(probe), "-o", str(folder / "probe")]
    return subprocess.run(command, capture_output=True, check=False).returncode == 0
