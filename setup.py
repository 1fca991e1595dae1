"""Builds the Cython modules of `jaxret.rank` over the C of `csrc/`.

`jaxret/rank/_x.pyx` is compiled with every `csrc/x*.c` and with the shared thread pool. There is no
`-march=native`: each kernel carries its own instruction sets and picks one at run time, so a wheel runs on
any machine of its architecture. JAXRET_SANITIZE=address,undefined builds with those sanitizers. What is newer than its
source, the headers that this includes and the flags is not compiled again; what is copied beside the sources always is
what these flags made.
"""

import os
import re
import sys
import threading
from pathlib import Path

from Cython.Build import cythonize
from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext
from setuptools.modified import newer_group

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


def headers_of(source: str) -> set[str]:
    """The headers of csrc/ that a file includes, or that one of these does."""
    found: set[str] = set()
    texts = [(ROOT / source).read_text(encoding="utf-8")]
    while texts:
        named = {f"csrc/{name}" for name in re.findall(r'(?:#\s*include|from) "(\w+\.h)"', texts.pop())}
        new = {name for name in named - found if (ROOT / name).exists()}
        texts += [(ROOT / name).read_text(encoding="utf-8") for name in new]
        found |= new
    return found


class BuildChanged(build_ext):
    """Compiles the files that are newer than what was made of them; setuptools knows whole extensions alone."""

    def build_extensions(self) -> None:
        programs = self.compiler.compiler_so, self.compiler.linker_so  # with the user's CFLAGS and LDFLAGS
        headers = sorted(path.name for path in (ROOT / "csrc").glob("*.h"))  # one that is gone has no date
        flags, now = Path(self.build_temp) / "flags.txt", repr((programs, compile_args, link_args, headers))
        if not flags.exists() or flags.read_text(encoding="utf-8") != now:
            flags.parent.mkdir(parents=True, exist_ok=True)
            flags.write_text(now, encoding="utf-8")
        for each in self.extensions:
            each.depends.append(str(flags))
        compile_one = self.compiler._compile

        def compile_changed(obj: str, source: str, *arguments: object) -> None:
            if self.force or newer_group([source, *headers_of(source), str(flags)], obj, "newer"):
                part = f"{obj}.{threading.get_ident()}.part"  # extensions that are built side by side share objects
                compile_one(part, source, *arguments)
                os.replace(part, obj)  # whole, wherever a build was stopped

        self.compiler._compile = compile_changed
        super().build_extensions()

    def copy_extensions_to_source(self) -> None:
        """Beside the sources, whatever lies there: what another build made, with other flags, may be newer."""
        self.force, before = True, self.force
        super().copy_extensions_to_source()
        self.force = before


def extension(pyx: Path) -> Extension:
    stem = pyx.stem.removeprefix("_")
    sources = sorted(path.relative_to(ROOT).as_posix() for path in (ROOT / "csrc").glob(f"{stem}*.c"))
    sources = [pyx.relative_to(ROOT).as_posix(), *sources, *SHARED]
    return Extension(
        f"jaxret.rank.{pyx.stem}",
        sources,
        include_dirs=["csrc"],
        depends=sorted(set[str]().union(*map(headers_of, sources))),
        extra_compile_args=compile_args,
        extra_link_args=link_args,
    )


setup(
    cmdclass={"build_ext": BuildChanged},
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
