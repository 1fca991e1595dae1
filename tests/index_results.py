"""What a search of a media index found, as items."""

from __future__ import annotations

from jaxret.data.items import MediaItem
from jaxret.index import MediaSearchResult


def items_of(result: MediaSearchResult, query: int = 0) -> list[MediaItem]:
    return [result.found[number] for number in result.ids[query].tolist() if number >= 0]


def keys_of(result: MediaSearchResult, query: int = 0) -> list[str]:
    return [item.key for item in items_of(result, query)]
