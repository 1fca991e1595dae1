"""The code speaks as people of its field do: words that it once used otherwise do not come back."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import jaxret

PACKAGE = Path(jaxret.__file__).parent
FORBIDDEN = {
    r"\b[aA]sk(s|ed|ing)?\b": "query, search with",
    r"\bpictures?\b": "image; a drawn one: figure",
    r"\b[qQ]uestions?\b": "query, held-out frames",
    r"[Jj]udge(s|d|ment|ments)?\b|\b[Jj]udging\b": "ground truth, relevance",
    r"\bwholes\b": "global",
    r"\bmaxima\b": "max-pooled",
    r"\b(nobody|no one)\b": "none",
    r"\btrunk\b": "backbone",
    r"\b(ShotQuestions|WordQuestion|photographed|put_together|two_streams|film_parts)\b": "see the lines above",
    r"\bsay=|\bmeet\(": "log, barrier",
    r"\b(InstanceRetriever|InstanceMatch|open_retriever)\b": "Retriever, Hit",
}
ROOMS = (
    "cli",
    "data",
    "evaluation",
    "index",
    "losses",
    "metrics",
    "models",
    "rank",
    "recipes",
    "reporting",
    "retrieval",
    "serve",
    "training",
    "visual_words",
    "__init__.py",
    "__main__.py",
    "build_index.py",
    "evaluate.py",
    "export.py",
    "errors.py",
    "files.py",
    "lazy.py",
    "preprocessing.py",
    "progress.py",
    "search.py",
    "train.py",
    "weights.py",
)
ALLOWED = re.compile(r"\"picture_side\"|[\"`]pictures[\"`]|(regional|layer)-maxima")  # names in older files
FILES = sorted(
    path for room in ROOMS for path in ([PACKAGE / room] if room.endswith(".py") else (PACKAGE / room).rglob("*.py"))
)


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_words(path: Path) -> None:
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        for word, better in FORBIDDEN.items():
            found = re.search(word, ALLOWED.sub("", line))
            assert found is None, f"{path}:{number}: {found[0]!r}, write {better}"
