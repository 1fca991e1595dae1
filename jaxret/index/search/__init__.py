"""A search of an index: rows by the kernels of `jaxret.rank`, the best row of each item, segments joined."""
