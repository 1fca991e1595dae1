"""Media and an index in an object store, s3://, as moto's server plays it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from flax import nnx

from jaxret.__main__ import dispatch
from jaxret.data.datasets.moving_digits import MovingDigits
from jaxret.data.open import open_dataset
from jaxret.errors import ConfigError
from jaxret.index import MediaIndex
from jaxret.models import TemporalEncoder, create_backbone
from jaxret.models.encoder import VideoEncoder
from jaxret.models.store import save_encoder
from jaxret.preprocessing import Preprocessing

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning")


@pytest.fixture
def store(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    """fsspec's file system of an empty store with one bucket."""
    s3fs = pytest.importorskip("s3fs", reason="s3:// needs the extra `remote`")
    moto = pytest.importorskip("moto.server", reason="moto[server] plays the store, and is not installed")
    server = moto.ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    for name, value in {
        "AWS_ENDPOINT_URL": f"http://{host}:{port}",
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_DEFAULT_REGION": "us-east-1",
        "XDG_CACHE_HOME": str(tmp_path / "cache"),
    }.items():
        monkeypatch.setenv(name, value)
    s3fs.S3FileSystem.clear_instance_cache()
    files = s3fs.S3FileSystem()
    files.mkdir("films")
    yield files
    server.stop()


def test_media_and_an_index_in_a_bucket(store, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    digits = MovingDigits(train_clips=0, validation_clips=0, test_clips=1, size=32)
    digits.write_media_folder(tmp_path / "media", indices=range(0, 80, 20))
    next((tmp_path / "media").glob("*.csv")).unlink()
    store.put(f"{tmp_path}/media", "films/", recursive=True)
    here, there = open_dataset(tmp_path / "media"), open_dataset("s3://films/media")
    assert [(item.key, item.label) for item in there.items] == [(item.key, item.label) for item in here.items]
    for number in range(len(here)):
        np.testing.assert_array_equal(there.read(number)[0], here.read(number)[0])
    encoder = VideoEncoder(
        create_backbone("small-convnet", widths=[4, 8], embedding_size=16, rngs=nnx.Rngs(0)),
        TemporalEncoder(16, 8, rngs=nnx.Rngs(0)),
        Preprocessing(height=32, width=32, frames=4, chunk_seconds=1.0),
    )
    save_encoder(encoder, tmp_path / "encoder")
    words = ["index", "s3://films/media", str(tmp_path / "mine"), "--encoder", str(tmp_path / "encoder"), "--quiet"]
    assert dispatch(words) == 0
    assert dispatch(words) == 0
    assert "added 0 items, 4 were there already" in capsys.readouterr().out
    store.rm(f"films/media/{here.items[0].key}")
    assert dispatch([*words[:3], "--prune", "--quiet"]) == 0
    assert "pruned 1 item" in capsys.readouterr().out
    store.put(f"{tmp_path}/mine", "films/", recursive=True)
    shown = []
    for index in (str(tmp_path / "mine"), "s3://films/mine"):
        assert dispatch(["search", index, f"s3://films/media/{here.items[1].key}", "--json"]) == 0
        shown.append(capsys.readouterr().out)
    assert shown[0] == shown[1]
    assert len(shown[0].splitlines()) == 3
    with pytest.raises(ConfigError, match="s3://films/mine can be searched where it lies, and not changed"):
        MediaIndex.open("s3://films/mine").remove([here.items[1].key])
    with pytest.raises(ConfigError, match="s3://films/none: there are no files below it"):
        open_dataset("s3://films/none")
