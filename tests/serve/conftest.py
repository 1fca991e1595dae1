"""One server for the tests of this folder."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from jaxret.index import MediaIndex

if TYPE_CHECKING:
    from serve.server import Client

MADE_BEFORE = Path(__file__).parents[1] / "compatibility" / "made_before"


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Indexes that were made before, of media that lie beside them."""
    folder = Path(shutil.copytree(MADE_BEFORE, tmp_path_factory.mktemp("served") / "made")).resolve()
    for name, media in (("clips", "media"), ("codes", "media"), ("sequences", "media"), ("films", "media"),
                        ("things", "pictures")):  # fmt: skip
        index = MediaIndex.open(folder / "runs" / name / "index")
        index.relocate(folder / media)
    return folder


@pytest.fixture(scope="session")
def client(made: Path) -> Iterator[Client]:
    """All of them, served."""
    from serve.server import running  # skips where the extra is not installed

    runs = [made / "runs" / name for name in ("clips", "codes", "sequences", "films", "things")]
    with running(runs, made) as found:
        yield found
