"""A local HTTP server that sends parts of files and lists folders, and counts what it sent."""

from __future__ import annotations

import contextlib
import hashlib
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path


class RangeServer(ThreadingHTTPServer):
    """Serves a folder.

    Attributes:
      url: of the folder.
      sent: bytes of the answers, by path.
      ranges: whether parts of files are sent.
      tags: whether files have ETags.
      refused: paths that nobody may read.
    """

    def __init__(self, folder: Path):
        super().__init__(("127.0.0.1", 0), partial(_Handler, directory=str(folder)))
        self.url = f"http://127.0.0.1:{self.server_address[1]}"
        self.sent: dict[str, int] = {}
        self.ranges = True
        self.tags = True
        self.refused: set[str] = set()


class _Handler(SimpleHTTPRequestHandler):
    server: RangeServer

    def log_message(self, *args: object) -> None:
        """Nothing."""

    def do_HEAD(self) -> None:
        self._answer(body=False)

    def do_GET(self) -> None:
        self._answer(body=True)

    def _answer(self, *, body: bool) -> None:
        path = Path(self.translate_path(self.path))
        if self.path in self.server.refused:
            self.send_error(403)
        elif not path.is_file():
            super().do_GET() if body else super().do_HEAD()
        else:
            data = path.read_bytes()
            start, end = 0, len(data)
            wanted = self.headers.get("Range") if self.server.ranges else None
            if wanted is not None:
                first, _, last = wanted.removeprefix("bytes=").partition("-")
                start, end = int(first), min(int(last or len(data)) + 1, len(data))
            self.send_response(200 if wanted is None else 206)
            if self.server.ranges:
                self.send_header("Content-Range", f"bytes {start}-{end - 1}/{len(data)}")
            self.send_header("Accept-Ranges", "bytes" if self.server.ranges else "none")
            self.send_header("Content-Length", str(end - start))
            self.send_header("Last-Modified", self.date_time_string(path.stat().st_mtime))
            if self.server.tags:
                self.send_header("ETag", f'"{hashlib.md5(data).hexdigest()}"')
            self.end_headers()
            if body:
                self.server.sent[self.path] = self.server.sent.get(self.path, 0) + end - start
                with contextlib.suppress(ConnectionError):
                    self.wfile.write(data[start:end])


@contextlib.contextmanager
def serving(folder: Path) -> Iterator[RangeServer]:
    """A server of a folder, in a thread of its own."""
    server = RangeServer(folder)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
