"""Manifests of indexes as someone would change them who knows the format."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from jaxret.index.manifest import manifest_checksum


def resign(folder: Path, change: Callable[[dict[str, Any]], Any]) -> None:
    """Change the manifest of an index, checksum included.

    Args:
      folder: of the index.
      change: alters what the manifest says, or returns what it is to say.
    """
    path = folder / "manifest.json"
    body = json.loads(path.read_text())
    body = change(body) or body
    body["checksum"] = manifest_checksum(body)
    path.write_text(json.dumps(body))
