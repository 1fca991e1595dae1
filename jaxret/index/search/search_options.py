"""How a search of an index ranks rows."""

from __future__ import annotations

import dataclasses

from jaxret.index.space import CODE_METRICS, VECTOR_METRICS, Space
from jaxret.rank.validation import check_count, check_real

__all__ = ["SearchOptions"]


@dataclasses.dataclass(frozen=True)
class SearchOptions:
    """How `MediaIndex.search` ranks the rows of a space.

    Attributes:
      metric: a name in `jaxret.rank.METRICS`: "euclidean" or "cosine" (1 - cosine), "hamming" (bits that differ) for
        codes; None for the space's default.
      min_cosine: PAR's threshold, a finite number: of the k nearest by Euclidean distance, those are kept whose best
        row has a cosine to the query above it.
      multi_index: for spaces of codes: look into tables of multi-index hashing
        (`jaxret.rank.HammingIndex`) instead of scanning all codes. The results are the same. The tables are
        built in memory at the first such search of each segment and kept with the opened index, also while it
        grows or shrinks; they are not written to disk. They pay from some 100,000 codes on if codes cluster,
        as trained ones do (`benchmarks/speed_code_search.py`); where a scan is expected to be cheaper, it is made
        instead. One thread may search with them at a time.
      probes: for spaces of vectors and the Euclidean distance: look only into this many cells of each segment,
        those whose centroids are nearest (`jaxret.rank.CentroidIndex`), instead of comparing all vectors. What is
        found has its exact distance and order; items in other cells are missed, and fewer than k may be found; as many
        probes as cells, or more, are an exact search. Cells that the index keeps (`MediaIndex.make_cells`) are those of
        the whole space, and used at once. Else the N rows of each segment get about sqrt(N) cells of their own in
        memory, with a float32 copy of the vectors, at the first such search, which takes longer than many exact
        searches, and keep them as the tables of `multi_index`. One thread may search with them at a time.
      device: search on accelerators: "gpu" or "tpu" for all of that kind, see `jaxret.rank.DeviceGallery`. The results
        are the same. The rows of each segment are sent at the first such search, removed items' too, and stay there as
        long as the opened index. Few rows that pass a filter are searched by the CPU. One thread may search with it at
        a time.

    Example:
      >>> SearchOptions("cosine").metric
      'cosine'
    """

    metric: str | None = None
    min_cosine: float | None = None
    multi_index: bool = False
    probes: int | None = None
    device: str | None = None

    def metric_in(self, space: Space) -> str:
        """The metric that these options mean in a space, once they are found to fit it.

        Raises:
          TypeError: probes is not a whole number.
          ValueError: the space is not ranked by the metric, probes < 1, `min_cosine` or `probes` for codes or with
            another metric than the Euclidean, `multi_index` for vectors, or `device` with one of these two or with a
            metric that was added to the table.
        """
        codes = space.representation == "code"
        if codes and self.min_cosine is not None:
            raise ValueError(f"min_cosine needs a space of vectors, but space {space.name!r} holds codes")
        if not codes and self.multi_index:
            raise ValueError(f"multi_index needs a space of codes, but space {space.name!r} holds vectors")
        if codes and self.probes is not None:
            raise ValueError(f"probes needs a space of vectors, but space {space.name!r} holds codes: see multi_index")
        if self.probes is not None:
            check_count(self.probes, "probes")
        default = space.metrics[0] if self.min_cosine is None else "euclidean"
        metric = self.metric or default
        if metric not in space.ranked_by:
            raise ValueError(f"metric must be one of {', '.join(space.ranked_by)}, got {metric!r}")
        if self.min_cosine is not None:
            if metric != "euclidean":
                raise ValueError(f"min_cosine needs metric 'euclidean' (PAR ranks by distance), got {metric!r}")
            check_real(self.min_cosine, "min_cosine")
        if self.probes is not None and metric != "euclidean":
            raise ValueError(
                f"probes needs metric 'euclidean' (cells are those of the nearest centroid), got {metric!r}"
            )
        if self.device is not None:
            if self.multi_index or self.probes is not None:
                raise ValueError(f"device {self.device!r} compares all rows: it needs neither multi_index nor probes")
            if metric not in VECTOR_METRICS + CODE_METRICS:
                known = ", ".join(VECTOR_METRICS + CODE_METRICS)
                raise ValueError(f"device {self.device!r} needs one of the metrics {known}, got {metric!r}")
        return metric
