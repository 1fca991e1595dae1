"""The HTTP API: what requests say, what is answered, and its description."""
