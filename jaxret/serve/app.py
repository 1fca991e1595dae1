"""The application: every endpoint, the page, and what is answered where something is wrong."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Mount
from starlette.staticfiles import StaticFiles

from jaxret.errors import JaxretError, MediaError
from jaxret.serve.api.comparisons import comparison_endpoints
from jaxret.serve.api.endpoint import Call, Endpoint, JsonResponse
from jaxret.serve.api.exports import export_endpoints
from jaxret.serve.api.indexes import index_endpoints
from jaxret.serve.api.indexing import indexing_endpoints
from jaxret.serve.api.media import media_endpoints
from jaxret.serve.api.openapi import describe_api
from jaxret.serve.api.searches import search_endpoints
from jaxret.serve.api.uploads import upload_endpoints
from jaxret.serve.errors import ApiError
from jaxret.serve.guard import Guard
from jaxret.serve.parts import Parts

__all__ = ["make_app"]

PAGE = Path(__file__).parent / "page"


def make_app(parts: Parts, *, host: str = "127.0.0.1", name: str | None = None, token: str | None = None) -> Starlette:
    """The application over its parts, which are closed with it.

    Args:
      parts: what requests are answered with.
      host: the address that will be listened on.
      name: how browsers call it beside the names of this machine; None for nothing else.
      token: that requests must bring; None for none.
    """
    endpoints = [
        *index_endpoints(parts),
        *upload_endpoints(parts),
        *search_endpoints(parts),
        *comparison_endpoints(parts),
        *export_endpoints(parts),
        *indexing_endpoints(parts),
        *media_endpoints(parts),
    ]

    async def description(call: Call) -> dict[str, object]:
        return describe_api(endpoints)

    endpoints.append(Endpoint("GET", "/api/openapi.json", "This description.", description, answer=dict))

    @contextlib.asynccontextmanager
    async def life(_: Starlette) -> AsyncIterator[None]:
        for index in parts.library.indexes.values():
            parts.searches.warm(index)
        try:
            yield
        finally:
            parts.close()

    return Starlette(
        routes=[
            *(endpoint.route(parts.limits) for endpoint in endpoints),
            Mount("/", StaticFiles(directory=PAGE, html=True)),
        ],
        middleware=[Middleware(Guard, host=host, name=name, token=token)],
        exception_handlers={
            ApiError: _api_error,
            MediaError: _media_error,
            JaxretError: _wrong_value,
            ValueError: _wrong_value,
            HTTPException: _http_error,
            Exception: _failure,
        },
        lifespan=life,
    )


async def _api_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, ApiError)
    field = {} if error.field is None else {"field": error.field}
    # What is left of a body that was not read to its end is not waited for.
    headers = {"Connection": "close"} if request.method == "POST" and error.status in (408, 413, 503) else None
    return JsonResponse({"error": error.message, **field}, error.status, headers)


async def _media_error(_: Request, error: Exception) -> Response:
    assert isinstance(error, MediaError)
    return JsonResponse({"error": f"{Path(error.path).name}: {error.reason}"}, 422)


async def _wrong_value(_: Request, error: Exception) -> Response:
    return JsonResponse({"error": str(error)}, 400)


async def _http_error(_: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    return JsonResponse({"error": str(error.detail).lower()}, error.status_code, error.headers)


async def _failure(_: Request, error: Exception) -> Response:
    return JsonResponse({"error": "the server failed at this request: its log says how"}, 500)
