"""What another user may and may not do."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator


@contextlib.contextmanager
def as_another_user() -> Iterator[None]:
    """Without root's rights, where the tests run as root, to whom nothing is forbidden."""
    if os.name != "posix" or os.geteuid() != 0:
        yield
        return
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)
