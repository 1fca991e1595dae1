"""A server of indexes that were made before, and a client that speaks plain HTTP to it."""

from __future__ import annotations

import contextlib
import http.client
import json
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

pytest.importorskip("starlette", reason="the extra serve is not installed")
pytest.importorskip("uvicorn", reason="the extra serve is not installed")
pytest.importorskip("python_multipart", reason="the extra serve is not installed")

from jaxret.serve.app import make_app
from jaxret.serve.limits import Limits
from jaxret.serve.listening import bound_socket, server_of
from jaxret.serve.parts import Parts, open_parts


class Answer(NamedTuple):
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class Client:
    """Requests to a running server."""

    def __init__(self, port: int, parts: Parts):
        self.port, self.parts = port, parts

    def send(self, method: str, path: str, body: bytes | None = None, headers: dict[str, str] | None = None) -> Answer:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        try:
            connection.request(method, path, body, headers or {})
            answer = connection.getresponse()
            return Answer(answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read())
        finally:
            connection.close()

    def get(self, path: str, **headers: str) -> Answer:
        return self.send("GET", path, headers=headers)

    def post(self, path: str, data: Any) -> Answer:
        return self.send("POST", path, json.dumps(data).encode(), {"Content-Type": "application/json"})

    def upload(self, path: Path, name: str | None = None) -> Answer:
        return self.send("POST", f"/api/uploads?name={name or path.name}", path.read_bytes())

    def search(self, index: str, query: dict[str, Any], **more: Any) -> Answer:
        return self.post("/api/searches?wait=1", {"index": index, "query": query, **more})


@contextlib.contextmanager
def running(
    indexes: list[Path],
    media_root: Path | None = None,
    limits: Limits | None = None,
    *,
    name: str | None = None,
    token: str | None = None,
    programs: Path | None = None,
) -> Iterator[Client]:
    parts = open_parts(indexes, media_root, limits or Limits(), programs)
    socket = bound_socket("127.0.0.1", 0)
    server = server_of(make_app(parts, name=name, token=token))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [socket]}, daemon=True)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    try:
        yield Client(socket.getsockname()[1], parts)
    finally:
        server.should_exit = True
        thread.join(10)
        assert not thread.is_alive()
        assert not parts.folder.exists()
