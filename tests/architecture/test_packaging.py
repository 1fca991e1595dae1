"""The project's metadata agree with themselves."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

PYPROJECT = Path(__file__).parents[2] / "pyproject.toml"
if not PYPROJECT.exists():
    pytest.skip("the project's metadata are not here", allow_module_level=True)


def test_groups_are_the_extras_of_the_same_names() -> None:
    """PEP 735 groups serve developers, extras the README's one-line set-up; a group cannot name its own project."""
    metadata = tomllib.loads(PYPROJECT.read_text(encoding="utf-8"))
    groups, extras = metadata["dependency-groups"], metadata["project"]["optional-dependencies"]
    assert set(groups) == {"test", "bench", "docs", "parity"}
    assert {name: extras[name] for name in groups} == groups


@pytest.mark.slow  # it builds eight times
def test_what_is_newer_than_its_sources_and_headers_is_not_compiled_again(tmp_path: Path) -> None:
    pytest.importorskip("Cython", reason="builds a kernel")
    files = {
        "csrc/thread_pool.c": "int jr_threads(void) { return 1; }",
        "csrc/first.h": "int jr_first(void);\n#define JR_FIRST 1",
        "csrc/first.c": """#include "first_deep.h"
#ifndef JR_CHANGED
#define JR_CHANGED 0
#endif
int jr_first(void) { return JR_FIRST + JR_CHANGED; }""",
        "csrc/first_deep.h": '#include "first.h"',
        "csrc/first_more.c": "int jr_more(void) { return 2; }",
        "jaxret/rank/_first.pyx": 'cdef extern from "first.h":\n    int jr_first()\ndef f():\n    return jr_first()',
        "jaxret/rank/_other.pyx": "def other():\n    return 3",
    }
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text + "\n", encoding="utf-8")
    shutil.copy(PYPROJECT.parent / "setup.py", tmp_path)

    def compiled(*more: str, **environment: str) -> set[str]:
        words = [sys.executable, "setup.py", "build_ext", "--inplace", *more]
        done = subprocess.run(
            words, cwd=tmp_path, env={**os.environ, **environment}, capture_output=True, text=True, check=True
        )
        return {Path(name).name for name in re.findall(r" -c (\S+\.c) ", done.stdout + done.stderr)}

    everything = {"_first.c", "first.c", "first_more.c", "_other.c", "thread_pool.c"}
    assert compiled() == everything
    assert compiled() == set()
    (tmp_path / "csrc" / "first_more.c").touch()
    assert compiled() == {"first_more.c"}
    (tmp_path / "csrc" / "first.h").write_text("int jr_first(void);\n#define JR_FIRST 4\n", encoding="utf-8")
    assert compiled() == {"_first.c", "first.c"}
    code = "from jaxret.rank import _first; print(_first.f())"

    def first() -> str:
        return subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True).stdout

    assert first() == "4\n"
    assert compiled(CFLAGS="-DJR_CHANGED=1") == everything
    assert first() == "5\n"
    # An editable install builds elsewhere, and leaves kernels beside the sources that are newer than what is here.
    assert compiled("--build-temp", "there/objects", "--build-lib", "there/lib", CFLAGS="-DJR_CHANGED=2") == everything
    assert first() == "6\n"
    assert compiled(CFLAGS="-DJR_CHANGED=1") == set()
    assert first() == "5\n"
    shutil.rmtree(tmp_path / "build")
    assert compiled("-j", "4") == everything  # the thread pool is of both, at once
    (tmp_path / "csrc" / "first_deep.h").unlink()
    with pytest.raises(subprocess.CalledProcessError) as failed:
        compiled()
    assert "first_deep.h" in failed.value.stderr
