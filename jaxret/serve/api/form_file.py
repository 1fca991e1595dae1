"""The file in a form (multipart/form-data), passed on as it comes."""

from __future__ import annotations

from collections.abc import AsyncIterator

from python_multipart.multipart import MultipartParser, parse_options_header

from jaxret.serve.errors import ApiError

__all__ = ["FileOfForm"]


class FileOfForm:
    """The first file of a form, as it comes.

    Args:
      chunks: of the body.
      boundary: between the parts of the form.

    Raises:
      ApiError: the boundary is none.
    """

    _MOST_HEADERS = 1 << 14

    def __init__(self, chunks: AsyncIterator[bytes], boundary: bytes):
        if not 0 < len(boundary) <= 70:
            raise ApiError(400, "the form has no boundary", "file")
        self._chunks = chunks
        self._header, self._value = bytearray(), bytearray()
        self._name: str | None = None
        self._in_file = self._done = False
        self._data = bytearray()
        self._parser = MultipartParser(
            boundary,
            {
                "on_part_begin": self._begin,
                "on_part_data": self._take,
                "on_part_end": self._end,
                "on_header_field": lambda data, start, end: self._grow(self._header, data[start:end]),
                "on_header_value": lambda data, start, end: self._grow(self._value, data[start:end]),
                "on_header_end": self._header_ended,
            },
        )

    async def name(self) -> str:
        """The name of the file.

        Raises:
          ApiError: the form holds no file.
        """
        while self._name is None:
            if not await self._more():
                raise ApiError(400, "the form holds no field file with a file in it", "file")
        return self._name

    async def chunks(self) -> AsyncIterator[bytes]:
        """The bytes of the file.

        Raises:
          ApiError: the form ends in the middle of it.
        """
        while True:
            if self._data:
                given, self._data = bytes(self._data), bytearray()
                yield given
            if self._done:
                return
            if not await self._more():
                raise ApiError(400, "the form ends in the middle of the file", "file")

    async def _more(self) -> bool:
        chunk = await anext(self._chunks, None)
        if chunk is None:
            return False
        try:
            self._parser.write(chunk)
        except ApiError:
            raise
        except Exception as error:  # of the parser, whatever it is
            raise ApiError(400, f"the form is malformed: {error}", "file") from None
        return True

    def _begin(self) -> None:
        self._header.clear()
        self._value.clear()

    def _grow(self, part: bytearray, data: bytes) -> None:
        part += data
        if len(part) > self._MOST_HEADERS:
            raise ApiError(400, "a header of the form is too long", "file")

    def _header_ended(self) -> None:
        if bytes(self._header).lower() == b"content-disposition" and self._name is None:
            _, options = parse_options_header(bytes(self._value))
            if b"filename" in options:
                self._name = options[b"filename"].decode("utf-8", "replace") or "upload"
                self._in_file = True
        self._begin()

    def _take(self, data: bytes, start: int, end: int) -> None:
        if self._in_file:
            self._data += data[start:end]

    def _end(self) -> None:
        if self._in_file:
            self._in_file, self._done = False, True
