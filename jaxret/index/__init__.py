"""An index on disk: images and videos, their vectors, and where in a video each vector lies.

One folder is one index: `manifest.json`, immutable segments of memory-mapped `.npy` files, and the
`encoder` folder that makes its queries. It can be copied, shared and searched from a read-only disk;
nothing in it is ever executed or unpickled. No JAX is imported here.
"""

from __future__ import annotations

from jaxret.data.items import MediaItem
from jaxret.data.rows import Rows
from jaxret.index.cells.recall import ProbeRecall
from jaxret.index.cells.term_lists import TermLists, Terms
from jaxret.index.exports.formats import ExportFormat, export_rows
from jaxret.index.items.item_list import ItemList
from jaxret.index.items.item_table import items_of_table
from jaxret.index.manifest import EncoderRecord, Manifest
from jaxret.index.manifest_reader import read_manifest
from jaxret.index.media_index import MediaIndex
from jaxret.index.opened_index import OpenedIndex
from jaxret.index.remote_copy import copy_of_file, copy_of_index, place_of_index, refuse_copies
from jaxret.index.search.media_search_result import MediaSearchResult
from jaxret.index.search.search_options import SearchOptions
from jaxret.index.sharded_index import PartPool, ShardedIndex, part_of
from jaxret.index.space import Space
from jaxret.index.write_lock import IndexBusyError

__all__ = [
    "EncoderRecord",
    "ExportFormat",
    "IndexBusyError",
    "ItemList",
    "Manifest",
    "MediaIndex",
    "MediaItem",
    "MediaSearchResult",
    "OpenedIndex",
    "PartPool",
    "ProbeRecall",
    "Rows",
    "SearchOptions",
    "ShardedIndex",
    "Space",
    "TermLists",
    "Terms",
    "copy_of_file",
    "copy_of_index",
    "export_rows",
    "items_of_table",
    "part_of",
    "place_of_index",
    "read_manifest",
    "refuse_copies",
]
