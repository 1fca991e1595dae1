"""Files of safetensors, with one error for all that can be wrong with one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy.typing as npt
from safetensors import SafetensorError
from safetensors.numpy import load_file

from jaxret.errors import WeightsError

__all__ = ["read_safetensors"]


def read_safetensors(path: str | Path) -> dict[str, npt.NDArray[Any]]:
    """The arrays of a file by name.

    Raises:
      WeightsError: it is damaged, another kind of file, or has numbers of a type that NumPy has not.
      OSError: it cannot be read.
    """
    try:
        return load_file(path)
    except (SafetensorError, AttributeError, LookupError, TypeError, ValueError) as error:
        raise WeightsError(f"{path} is damaged or not a safetensors file: {error}") from error
