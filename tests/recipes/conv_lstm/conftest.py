"""The videos that the tests of system 2 train on."""

from pathlib import Path

import pytest
from tiny_conv_lstm import write_tiny_media


@pytest.fixture(scope="session")
def media(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """See `write_tiny_media`."""
    root = tmp_path_factory.mktemp("media")
    write_tiny_media(root)
    return root
