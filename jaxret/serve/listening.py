"""Listening on an address until Ctrl-C, which ends it at once."""

from __future__ import annotations

import asyncio
import errno
import socket
from typing import Any

import uvicorn
from starlette.types import ASGIApp
from uvicorn.protocols.http.h11_impl import H11Protocol

from jaxret.errors import ConfigError

__all__ = ["bound_socket", "server_of"]

_SILENCE = 20.0  # seconds that a connection may take for the head of a request
_MOST_HEAD = 1 << 16
_MOST_CONNECTIONS = 1000


class _PatientProtocol(H11Protocol):
    """HTTP on one connection, which is closed where no whole request comes for long: it would be held for ever."""

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        self._watch = self.loop.call_later(_SILENCE, self._look)

    def connection_lost(self, exc: Exception | None) -> None:
        self._watch.cancel()
        super().connection_lost(exc)

    def _look(self) -> None:
        if self.cycle is None:
            self.transport.close()


def bound_socket(host: str, port: int) -> socket.socket:
    """A socket that is bound to an address; port 0 for any that is free.

    Raises:
      ConfigError: the address is taken, or none of this machine's.
    """
    try:
        family, kind, proto, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        bound = socket.socket(family, kind, proto)
        try:
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            bound.bind(address)
            bound.listen(512)
        except BaseException:
            bound.close()
            raise
    except OSError as error:
        hint = ": another program listens there; --port 0 takes a free one" if error.errno == errno.EADDRINUSE else ""
        raise ConfigError(f"--host {host} --port {port}: {error.strerror}{hint}") from error
    return bound


def server_of(app: ASGIApp) -> uvicorn.Server:
    """A server of an application; `run(sockets=[...])` returns when it is told to end.

    Requests that are being answered then are not waited for.
    """
    return _Server(
        uvicorn.Config(
            app,
            http=_PatientProtocol,
            ws="none",
            log_level="warning",
            access_log=False,
            server_header=False,
            timeout_keep_alive=15,
            timeout_graceful_shutdown=1,
            limit_concurrency=_MOST_CONNECTIONS,
            h11_max_incomplete_event_size=_MOST_HEAD,
            lifespan="on",
        )
    )


class _Server(uvicorn.Server):
    """Ends open streams itself, which would be told as errors otherwise."""

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        for task in list(self.server_state.tasks):
            task.cancel()
        for connection in list(self.server_state.connections):
            connection.transport.abort()
        await asyncio.sleep(0)
        await super().shutdown(sockets)
