"""Indexes, and browsing their items."""

from __future__ import annotations

import dataclasses
from typing import Annotated, Any

from jaxret.data.items import Kind
from jaxret.ranges import CountOrZero, at_least
from jaxret.serve.api.answers import ItemAnswer, item_answer
from jaxret.serve.api.endpoint import Call, Endpoint
from jaxret.serve.parts import Parts

__all__ = ["index_endpoints"]


@dataclasses.dataclass(frozen=True)
class Browse:
    """Which items to list.

    Attributes:
      index: whose items.
      where: a filter, as in a search.
      kind: only images, or only videos.
      sort: by a column, with a minus the largest first; by default in the order of the index.
      offset: the first of them.
      limit: how many at most.
    """

    index: str
    where: str | None = None
    kind: Kind | None = None
    sort: str | None = None
    offset: CountOrZero = 0
    limit: Annotated[int, at_least(1, most=1000)] = 200


@dataclasses.dataclass(frozen=True)
class ItemsAnswer:
    """Items of an index.

    Attributes:
      items: those that were wanted.
      total: how many pass the filter.
    """

    items: tuple[ItemAnswer, ...]
    total: int


def index_endpoints(parts: Parts) -> list[Endpoint]:
    """What can be requested of indexes and items."""

    async def indexes(call: Call) -> list[dict[str, Any]]:
        return await parts.looking.do(lambda: [index.describe() for index in parts.library.indexes.values()])

    async def browse(call: Call) -> ItemsAnswer:
        wanted: Browse = call.parameters
        index = parts.library.find(wanted.index)

        def listed() -> ItemsAnswer:
            kinds = None if wanted.kind is None else (wanted.kind,)
            ids = index.passing(wanted.where, kinds, wanted.sort)
            chosen = ids[wanted.offset : wanted.offset + wanted.limit]
            items = index.retriever.index.items
            return ItemsAnswer(tuple(item_answer(index, items[number], parts.sources) for number in chosen), len(ids))

        return await parts.looking.do(listed)

    async def item(call: Call) -> ItemAnswer:
        index = parts.library.find(call.path["index"])

        def looked_at() -> ItemAnswer:
            found = index.item(call.path["item"])
            details = parts.sources.details(parts.sources.of_item(index, found))
            answer = item_answer(index, found, parts.sources)
            return dataclasses.replace(
                answer, width=details.width, height=details.height, playable=details.playable,
                duration=answer.duration if answer.duration is not None else details.duration,
            )  # fmt: skip

        return await parts.looking.do(looked_at)

    return [
        Endpoint("GET", "/api/indexes", "The open indexes, and how each is searched.", indexes, answer=list),
        Endpoint("GET", "/api/items", "Items of an index, without a query.", browse, Browse, answer=ItemsAnswer),
        Endpoint("GET", "/api/items/{index}/{item}", "An item; its file is opened.", item, answer=ItemAnswer),
    ]
