"""A request and its answer: what the server routes by, checks by, and describes itself by."""

from __future__ import annotations

import asyncio
import dataclasses
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from typing import Any

from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from jaxret.serve.api.typed import read, read_text
from jaxret.serve.errors import ApiError
from jaxret.serve.limits import Limits

__all__ = ["Call", "Endpoint", "JsonResponse", "patient"]


class JsonResponse(JSONResponse):
    """JSON in ASCII alone: names of files need not be text that UTF-8 can hold."""

    def render(self, content: Any) -> bytes:
        """The bytes of the answer."""
        return json.dumps(content, allow_nan=False, separators=(",", ":")).encode("ascii")


@dataclasses.dataclass(frozen=True)
class Call:
    """A request that was checked.

    Attributes:
      request: as it came.
      path: the parts of the address that are names.
      parameters: an instance of the endpoint's class of them.
      body: an instance of the endpoint's class of it.
    """

    request: Request
    path: Mapping[str, str]
    parameters: Any = None
    body: Any = None


@dataclasses.dataclass(frozen=True)
class Endpoint:
    """What can be requested.

    Attributes:
      method, path: of HTTP; names in the path stand in braces.
      summary: in a sentence.
      handle: makes the answer: a response, an instance of `answer`, or what JSON can say.
      parameters: a dataclass of the parameters in the URL.
      body: a dataclass of the JSON that is sent along.
      answer: a dataclass of the answer; None where it is no JSON.
      media_type: of an answer that is none.
      status: of a good answer.
    """

    method: str
    path: str
    summary: str
    handle: Callable[[Call], Awaitable[Any]]
    parameters: type[Any] | None = None
    body: type[Any] | None = None
    answer: Any = None
    media_type: str | None = None
    status: int = 200

    def route(self, limits: Limits) -> Route:
        """As the server routes it."""

        async def respond(request: Request) -> Response:
            parameters = None
            if self.parameters is not None:
                parameters = read_text(self.parameters, dict(request.query_params))
            body = None if self.body is None else read(self.body, await _json(request, limits))
            answer = await self.handle(Call(request, request.path_params, parameters, body))
            if isinstance(answer, Response):
                return answer
            return JsonResponse(_plain(answer), self.status)

        return Route(self.path, respond, methods=[self.method])


def _plain(answer: Any) -> Any:
    return dataclasses.asdict(answer) if dataclasses.is_dataclass(answer) and not isinstance(answer, type) else answer


async def _json(request: Request, limits: Limits) -> Any:
    """The body of a request as JSON, within bounds.

    Raises:
      ApiError: it is none, or too large.
    """
    kind = request.headers.get("content-type", "").split(";")[0].strip().lower()
    if kind != "application/json":
        raise ApiError(415, f"the body must be application/json, got {kind or 'no type'!r:.80}")
    data = bytearray()
    async for chunk in patient(request, limits.upload_pause):
        data += chunk
        if len(data) > limits.body_bytes:
            raise ApiError(413, f"the body is larger than {limits.body_bytes:,} bytes")
    try:
        return json.loads(data)
    except (ValueError, RecursionError):
        raise ApiError(400, "the body is no JSON") from None


async def patient(request: Request, pause: float) -> AsyncIterator[bytes]:
    """The bytes of a request's body, as long as they come.

    Raises:
      ApiError: none came for too long, or the client went away.
    """
    stream = request.stream()
    while True:
        try:
            chunk = await asyncio.wait_for(anext(stream), pause)
        except StopAsyncIteration:
            return
        except TimeoutError:
            raise ApiError(408, f"nothing came for {pause:g} seconds") from None
        except ClientDisconnect:
            raise ApiError(400, "the client went away") from None
        yield chunk
