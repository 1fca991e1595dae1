"""What is answered where a request cannot be."""

from __future__ import annotations

__all__ = ["ApiError"]


class ApiError(Exception):
    """An answer with a status of HTTP and a sentence.

    Args:
      status: 4xx or 503.
      message: what is wrong, and what to do.
      field: of the request, where one is wrong.
    """

    def __init__(self, status: int, message: str, field: str | None = None):
        super().__init__(message)
        self.status, self.message, self.field = status, message, field
