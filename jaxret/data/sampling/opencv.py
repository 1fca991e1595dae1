"""OpenCV, an extra that only some functions need."""

from __future__ import annotations

from typing import Any

from jaxret.errors import ConfigError

__all__ = ["require_opencv"]


def require_opencv(what: str) -> Any:
    """The module cv2, which takes long to import: only where it is needed.

    Args:
      what: what needs it, the beginning of the message.

    Raises:
      ConfigError: OpenCV is not installed; the message says which extra to install.
    """
    try:
        import cv2
    except ImportError as error:
        raise ConfigError(f"{what} needs the extra `opencv`: pip install 'jaxret[opencv]'") from error
    return cv2
