"""Changes to an index folder: each is computed as a new manifest and made real by replacing the old one.

A segment is written and put on disk before any manifest names it, so the replacement is the only moment that
counts. What a crash leaves behind is named by no manifest, and the next change deletes it.
"""
