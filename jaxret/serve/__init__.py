"""`jaxret serve`: a page and an HTTP API on this machine, to search indexes from a browser."""
