"""What every run's report ends with."""

from __future__ import annotations

import json
import platform
from collections.abc import Sequence
from typing import Any

import jax

from jaxret.errors import MediaError
from jaxret.reporting import Section, paragraph, preformatted, table
from jaxret.training import config_to_json

__all__ = ["closing_sections", "run_sections"]


def closing_sections(indexed: int, command: str, failures: Sequence[MediaError], config: Any) -> list[Section]:
    """How to search, what was left out, the settings, and the machine.

    Args:
      indexed: items in the run's index.
      command: that searches it with a file.
      failures: items that could not be read.
      config: the resolved settings.
    """
    return [
        Section("Search the index", [paragraph(f"{indexed} items are indexed."), preformatted(command)]),
        *run_sections(failures, config),
    ]


def run_sections(failures: Sequence[MediaError], config: Any) -> list[Section]:
    """What was left out, the settings, and the machine; arguments are those of `closing_sections`."""
    lost = [(failure.path, failure.reason) for failure in failures]
    return [
        Section(f"Files left out: {len(lost)}", [table(("file", "reason"), lost)] if lost else [paragraph("None.")]),
        Section("Settings", [preformatted(json.dumps(config_to_json(config), indent=2))]),
        Section("Made on", [table(("what", "value"), _machine())]),
    ]


def _machine() -> list[tuple[str, str]]:
    devices = ", ".join(sorted({device.device_kind for device in jax.devices()}))
    return [
        ("platform", platform.platform()),
        ("Python", platform.python_version()),
        ("JAX", jax.__version__),
        ("devices", f"{jax.device_count()} x {devices}"),
    ]
