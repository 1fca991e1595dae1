"""Searching: handing in, looking at, following, cancelling."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Annotated

from starlette.responses import Response, StreamingResponse

from jaxret.ranges import CountOrZero, at_least
from jaxret.serve.api.answers import HitAnswer, hit_answer
from jaxret.serve.api.endpoint import Call, Endpoint, JsonResponse
from jaxret.serve.api.requests import SearchRequest
from jaxret.serve.parts import Parts
from jaxret.serve.progress import events
from jaxret.serve.queries import offset_of
from jaxret.serve.searches import Search

__all__ = ["search_endpoints"]


@dataclasses.dataclass(frozen=True)
class Page:
    """Which results to give.

    Attributes:
      offset: the first of them.
      limit: how many at most.
    """

    offset: CountOrZero = 0
    limit: Annotated[int, at_least(0, most=1000)] = 200


@dataclasses.dataclass(frozen=True)
class WaitOrNot:
    """How to answer a search.

    Attributes:
      wait: answer when it is done, with the results.
    """

    wait: bool = False


@dataclasses.dataclass(frozen=True)
class SearchAnswer:
    """How far a search is, and what it found.

    Attributes:
      search: its name in requests.
      state: waiting, running, done, failed or cancelled.
      stage: of a running one, what it does: decode, encode or rank.
      position: how many are before it in line.
      error: why it failed.
      total: results.
      hits: those that were wanted.
      timings: seconds by part: wait, decode, encode, rank.
      damage: what is missing from the query's file, if something is.
    """

    search: str
    state: str
    stage: str | None
    position: int
    error: str | None
    total: int
    hits: tuple[HitAnswer, ...]
    timings: Mapping[str, float]
    damage: str | None


def search_endpoints(parts: Parts) -> list[Endpoint]:
    """What can be requested of searches."""

    def state(search: Search) -> SearchAnswer:
        return SearchAnswer(
            search.id,
            search.state,
            search.stage if search.state == "running" else None,
            parts.searches.position(search),
            search.error,
            len(search.hits),
            (),
            dict(search.timings),
            search.damage,
        )

    async def with_hits(search: Search, offset: int, limit: int) -> SearchAnswer:
        def listed() -> SearchAnswer:
            chosen = search.hits[offset : offset + limit]
            own = offset_of(search.request.what)
            hits = (
                hit_answer(search.index, rank, hit, parts.sources, offset=own)
                for rank, hit in enumerate(chosen, start=offset + 1)
            )
            return dataclasses.replace(state(search), hits=tuple(hits))

        return await parts.looking.do(listed)

    async def hand_in(call: Call) -> Response | SearchAnswer:
        request: SearchRequest = call.body
        search = parts.searches.hand_in(request, parts.library.find(request.index))
        if not call.parameters.wait:
            return JsonResponse(dataclasses.asdict(state(search)), 202)
        await search.wait()
        return await with_hits(search, 0, request.k)

    async def look(call: Call) -> SearchAnswer:
        page: Page = call.parameters
        return await with_hits(parts.searches.find(call.path["search"]), page.offset, page.limit)

    async def follow(call: Call) -> Response:
        search = parts.searches.find(call.path["search"])
        return StreamingResponse(
            events(search, lambda: dataclasses.asdict(state(search))), media_type="text/event-stream"
        )

    async def cancel(call: Call) -> SearchAnswer:
        search = parts.searches.find(call.path["search"])
        parts.searches.cancel(search)
        return state(search)

    one = "/api/searches/{search}"
    return [
        Endpoint(
            "POST",
            "/api/searches",
            "Search: the answer is its name, or with wait=1 what it found.",
            hand_in,
            WaitOrNot,
            SearchRequest,
            SearchAnswer,
        ),
        Endpoint("GET", one, "How far a search is, and its results.", look, Page, answer=SearchAnswer),
        Endpoint(
            "GET",
            f"{one}/events",
            "The state of a search, told again whenever it changes (server-sent events).",
            follow,
            media_type="text/event-stream",
        ),
        Endpoint("DELETE", one, "Cancel a search.", cancel, answer=SearchAnswer),
    ]
