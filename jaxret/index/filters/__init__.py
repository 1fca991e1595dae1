"""Filters of items: `label = 'cat' and duration > 10`, parsed by the grammar here and never evaluated as Python."""
