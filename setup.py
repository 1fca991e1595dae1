"""Builds the Cython modules of `jaxret.rank` over the C of `csrc/`.

`jaxret/rank/_x.pyx` is compiled with every `csrc/x*.c` and with the shared thread pool. There is no
`-march=native`: each kernel carries its own instruction sets and picks one at run time, so a wheel runs on
any machine of its architecture. JAXRET_SANITIZE=address,undefined builds with those sanitizers.
"""

import os
import sys
from pathlib import Path

from Cython.Build import cythonize
from setuptools import Extension, setup

ROOT = Path(__file__).parent
SHARED = ["csrc/thread_pool.c"]

# -ffp-contract=off: the exact distances must have the same bits at every SIMD level; kernels that want a
# fused multiply-add ask for it by name.
compile_args = ["-std=c11", "-O3", "-g0", "-fvisibility=hidden", "-ffp-contract=off", "-pthread"]
link_args = ["-pthread"]
sanitizers = os.environ.get("JAXRET_SANITIZE", "")
if sanitizers:
    compile_args += [f"-fsanitize={sanitizers}", "-fno-sanitize-recover=all", "-fno-omit-frame-pointer"]
    compile_args += ["-O1", "-g"]
    link_args += [f"-fsanitize={sanitizers}"]
if sys.platform == "win32":
    raise SystemExit("jaxret builds on Linux and macOS: its kernels use POSIX threads")


def extension(pyx: Path) -> Extension:
    stem = pyx.stem.removeprefix("_")
    sources = sorted(path.relative_to(ROOT).as_posix() for path in (ROOT / "csrc").glob(f"{stem}*.c"))
    return Extension(
        f"jaxret.rank.{pyx.stem}",
        [pyx.relative_to(ROOT).as_posix(), *sources, *SHARED],
        include_dirs=["csrc"],
        depends=sorted(path.relative_to(ROOT).as_posix() for path in (ROOT / "csrc").glob("*.h")),
        extra_compile_args=compile_args,
        extra_link_args=link_args,
    )


setup(
    exclude_package_data={"": ["*.pyx"]},  # they are in the source distribution
    ext_modules=cythonize(
        [extension(pyx) for pyx in sorted((ROOT / "jaxret" / "rank").glob("_*.pyx"))],
        compiler_directives={
            "language_level": "3",
            "boundscheck": False,
            "wraparound": False,
            "cdivision": True,
            "embedsignature": True,
        },
    ),
)
