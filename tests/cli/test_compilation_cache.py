"""Where compiled programs are kept, and where they are not."""

from __future__ import annotations

import gc
import os
import stat
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from flax import nnx
from PIL import Image

from jaxret.cli import compilation_cache
from jaxret.cli.compilation_cache import SWITCH, forget_damaged, keep_compiled_programs, programs_folder
from jaxret.cli.run import put_off_collection
from jaxret.data.open import open_dataset
from jaxret.models import Mean, create_backbone
from jaxret.models.encoder import VideoEncoder
from jaxret.preprocessing import Preprocessing
from jaxret.retrieval import Retriever


@pytest.fixture
def unset(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> pytest.MonkeyPatch:
    """JAX is not imported yet, and no variable is set but that of the cache folder."""
    for name in ("JAX_COMPILATION_CACHE_DIR", SWITCH, *compilation_cache._SETTINGS):
        monkeypatch.setenv(name, "")  # so that what is set in the test is undone
        monkeypatch.delenv(name)
    monkeypatch.delitem(sys.modules, "jax", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return monkeypatch


def test_programs_are_kept_in_the_users_cache_folder(unset, tmp_path):
    folder = keep_compiled_programs()
    assert folder is not None
    assert folder.parent == tmp_path / "cache" / "jaxret" / "compiled"
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert os.environ["JAX_COMPILATION_CACHE_DIR"] == str(folder)
    assert os.environ["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] == "0"
    assert os.environ["JAX_COMPILATION_CACHE_MAX_SIZE"] == str(1 << 30)
    assert programs_folder() == folder / "programs"
    assert stat.S_IMODE((folder / "programs").stat().st_mode) == 0o700


TWO_CORES = """
import os, sys
os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:int(sys.argv[1])])
from jaxret.cli.compilation_cache import keep_compiled_programs
keep_compiled_programs()
import jax, jax.numpy as jnp
program = jax.jit(lambda x: jnp.tanh(jnp.sin(x) * jnp.cos(x))).lower(jnp.ones((256, 65536))).compile()
print('outer_dimension_partitions":["2"]' in program.as_text())
"""


@pytest.mark.skipif(not hasattr(os, "sched_getaffinity") or len(os.sched_getaffinity(0)) < 2, reason="needs two cores")
def test_what_was_compiled_for_one_core_is_not_run_on_two(unset, tmp_path):
    for cores, shared in ((1, "False"), (2, "True"), (1, "False")):
        done = subprocess.run([sys.executable, "-c", TWO_CORES, str(cores)], capture_output=True, text=True, check=True)
        assert done.stdout == f"{shared}\n"
    assert len(list((tmp_path / "cache" / "jaxret" / "compiled").iterdir())) == 2


def test_without_the_variable_of_xdg_it_is_in_the_home(unset, tmp_path):
    for path in ("", "relative"):  # which the specification says to pass over
        unset.setenv("XDG_CACHE_HOME", path)
        unset.delenv("JAX_COMPILATION_CACHE_DIR", raising=False)
        unset.setenv("HOME", str(tmp_path / "home"))
        assert str(keep_compiled_programs()).startswith(str(tmp_path / "home"))


def test_the_variable_names_a_folder_or_switches_it_off(unset, tmp_path):
    for word in ("off", "OFF"):
        unset.setenv(SWITCH, word)
        assert keep_compiled_programs() is None
        assert programs_folder() is None
    assert not (tmp_path / "cache").exists()
    unset.setenv(SWITCH, str(tmp_path / "elsewhere"))
    folder = keep_compiled_programs()
    assert folder is not None
    assert folder.parent == tmp_path / "elsewhere"


def test_what_the_user_told_jax_stays(unset):
    unset.setenv("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "3")
    keep_compiled_programs()
    assert os.environ["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] == "3"
    unset.setenv("JAX_COMPILATION_CACHE_DIR", "mine")
    assert keep_compiled_programs() is None
    assert os.environ["JAX_COMPILATION_CACHE_DIR"] == "mine"
    unset.delenv("JAX_COMPILATION_CACHE_DIR")
    unset.setitem(sys.modules, "jax", sys)
    assert keep_compiled_programs() is None


@pytest.mark.parametrize("mode", [0o770, 0o707, 0o500])
def test_a_folder_that_others_may_write_or_that_cannot_be_written_is_not_used(unset, mode):
    folder = keep_compiled_programs()
    assert folder is not None
    unset.delenv("JAX_COMPILATION_CACHE_DIR")
    folder.chmod(mode)
    if mode == 0o500 and os.access(folder, os.W_OK):
        pytest.skip("this user may write anywhere")
    assert keep_compiled_programs() is None
    assert "JAX_COMPILATION_CACHE_DIR" not in os.environ


@pytest.mark.parametrize(("mode", "used"), [(0o777, False), (0o1777, True), (0o775, True)])
def test_a_folder_in_which_all_may_replace_it_is_not_used(unset, tmp_path, mode, used):
    (tmp_path / "shared").mkdir()
    (tmp_path / "shared").chmod(mode)
    unset.setenv(SWITCH, str(tmp_path / "shared"))
    assert (keep_compiled_programs() is not None) == used


def test_a_folder_that_cannot_be_made_or_is_anothers_is_not_used(unset, tmp_path):
    (tmp_path / "cache").write_text("a file")
    assert keep_compiled_programs() is None
    unset.setenv("XDG_CACHE_HOME", str(tmp_path / "other"))
    unset.setattr(os, "getuid", lambda: -5)
    assert keep_compiled_programs() is None


def test_what_was_left_half_written_is_removed(unset):
    """JAX, which keeps nothing more while an entry lacks its time, would warn of each program."""
    folder = keep_compiled_programs()
    assert folder is not None
    for name, age in (
        ("whole-cache", 90),
        ("whole-atime", 90),
        ("half-cache", 90),
        ("new-cache", 0),
        (".lockfile", 90),
    ):
        (folder / name).write_bytes(b"12345678")
        os.utime(folder / name, (time.time() - age,) * 2)
    unset.delenv("JAX_COMPILATION_CACHE_DIR")
    assert keep_compiled_programs() == folder
    left = {".lockfile", "new-cache", "whole-atime", "whole-cache"}  # a new one may be about to be completed
    assert {path.name for path in folder.iterdir()} == left


def test_a_search_brings_nothing_that_draws_fits_or_trains(tmp_path):
    """The second search with an encoder; the first one makes its programs."""
    index = tmp_path / "index"
    rngs = nnx.Rngs(0)
    encoder = VideoEncoder(
        create_backbone("small-convnet", widths=[2, 3], grid=2, embedding_size=4, rngs=rngs),
        Mean(4, rngs=rngs),
        Preprocessing(height=16, width=16, frames=2),
    )
    for number in range(2):
        pixels = np.random.default_rng(number).integers(0, 256, (16, 16, 3), np.uint8)
        Image.fromarray(pixels).save(tmp_path / f"{number}.png")
    Retriever.create(index, encoder).add(open_dataset(tmp_path))
    code = (
        "import sys\n"
        "from jaxret.__main__ import dispatch\n"
        "from jaxret.cli.run import run_command\n"
        "run_command(dispatch)\n"
        "names = {'matplotlib', 'sklearn', 'scipy', 'grain', 'orbax', 'flax', 'optax', 'pandas'}\n"
        "print(*sorted(names & set(sys.modules)))"
    )
    words = [sys.executable, "-c", code, "search", str(index), str(tmp_path / "1.png")]
    environment = {**os.environ, SWITCH: str(tmp_path / "programs"), "JAX_PLATFORMS": "cpu"}
    first, second = (
        subprocess.run(words, capture_output=True, text=True, check=True, env=environment).stdout for _ in range(2)
    )
    *hits, brought = second.splitlines()
    assert brought == ""
    assert first.splitlines()[:-1] == hits
    assert "1.png" in hits[1]


_COMPILING = """
import sys
from jaxret.cli.run import run_command
def main(words):
    import jax.numpy as jnp
    print(int(jnp.arange(5).sum()))
run_command(main, [])
"""


def test_a_damaged_entry_is_told_once_and_written_anew(tmp_path):
    environment = {**os.environ, SWITCH: str(tmp_path / "programs"), "JAX_PLATFORMS": "cpu"}
    environment.pop("JAX_COMPILATION_CACHE_DIR", None)

    def run():
        words = [sys.executable, "-c", _COMPILING]
        return subprocess.run(words, capture_output=True, text=True, check=True, env=environment)

    run()
    (entry, *_) = sorted((tmp_path / "programs").rglob("*-cache"))
    whole = entry.read_bytes()
    entry.write_bytes(whole[: len(whole) // 2])
    damaged = run()
    assert damaged.stdout == "10\n"
    assert damaged.stderr == f"jaxret: warning: {entry} was damaged; the program is compiled and kept anew\n"
    assert len(entry.read_bytes()) > len(whole) // 2
    assert run().stderr == ""


def test_of_entries_of_one_name_that_which_was_read_last_is_forgotten(unset):
    folder = keep_compiled_programs()
    assert folder is not None
    for name, moment in (("jit_f-old", 5), ("jit_f-read", 300), ("jit_fg-later", 400)):
        (folder / f"{name}-cache").write_bytes(b"x")
        (folder / f"{name}-atime").write_bytes(moment.to_bytes(8, "little"))
    told = "Error reading persistent compilation cache entry for 'jit_f': ZstdError: truncated"
    assert forget_damaged("Corrupt EXIF data") is None
    assert forget_damaged(told) == folder / "jit_f-read-cache"
    assert sorted(path.name for path in folder.iterdir()) == [
        "jit_f-old-atime", "jit_f-old-cache", "jit_fg-later-atime", "jit_fg-later-cache"
    ]  # fmt: skip
    unset.setenv("JAX_COMPILATION_CACHE_DIR", "mine")
    assert forget_damaged(told) is None


def test_the_first_collection_is_put_off_and_later_ones_are_as_usual():
    gc.collect()  # that of a command that a test before this one has run
    usual, callbacks = gc.get_threshold(), len(gc.callbacks)
    put_off_collection()
    assert gc.get_threshold()[0] > 100_000
    put_off_collection()  # a command within a command
    assert len(gc.callbacks) == callbacks + 1
    gc.collect()
    assert gc.get_threshold() == usual
    assert len(gc.callbacks) == callbacks
    gc.disable()
    try:
        gc.set_threshold(0)
        put_off_collection()
        assert gc.get_threshold()[0] == 0
    finally:
        gc.set_threshold(*usual)
        gc.enable()
