"""Thumbnails beside the vectors of clips: against NumPy, copies, stored and made again."""

from __future__ import annotations

import numpy as np
import pytest
from flax import nnx

from jaxret.errors import ConfigError
from jaxret.models import Mean, create_backbone
from jaxret.models.backbones import ThumbnailBackbone
from jaxret.models.encoder import VideoEncoder
from jaxret.models.store import load_encoder, save_encoder
from jaxret.preprocessing import DepthPlanes, Preprocessing

SIZES = {"height": 16, "width": 16, "embedding_size": 5, "blocks": 1, "map_channels": 2}
SIZES |= {"recurrent_channels": 2, "residual_channels": 2}


def backbone(**changes) -> ThumbnailBackbone:
    inner = create_backbone("conv-lstm", **{**SIZES, **changes}, rngs=nnx.Rngs(0))
    made = ThumbnailBackbone(inner, share=0.25, grid=4)
    made.assign(2.0, 3.0)
    made.eval()
    return made


@pytest.mark.parametrize("planes", [0, 2])
def test_distances_are_those_of_both_parts_in_their_units_and_shares(planes: int) -> None:
    net = backbone(depth_planes=planes)
    clips = np.random.default_rng(0).integers(0, 256, (3, 2, 16, 16, 3 + bool(planes)), np.uint8)
    if planes:
        clips[..., 3] %= planes + 1
    encoding = net(clips)
    vectors = np.asarray(net.backbone(clips).embedding)
    pixels = clips[..., :3].astype(np.float64)
    even = np.stack([(clip - clip.mean()) / np.sqrt(clip.var() + 25.0) for clip in pixels])
    thumbnails = even.mean(axis=1).reshape(3, 4, 4, 4, 4, 3).mean(axis=(2, 4)).reshape(3, -1)
    np.testing.assert_allclose(encoding.stages["thumbnail"], thumbnails, atol=1e-5)
    np.testing.assert_allclose(encoding.stages["vector"], vectors, atol=1e-5)
    joined = np.asarray(encoding.embedding)
    assert joined.shape == (3, net.embedding_size)

    def squared(points: np.ndarray) -> np.ndarray:
        return ((points[:, None] - points[None]) ** 2).sum(axis=-1)

    expected = 0.75 * squared(vectors) / 2.0 + 0.25 * squared(thumbnails) / 3.0
    np.testing.assert_allclose(squared(joined), expected, rtol=1e-4, atol=1e-6)


def test_units_are_stored_and_no_optimiser_sees_them(tmp_path) -> None:
    encoder = VideoEncoder(backbone(), Mean(53, rngs=nnx.Rngs(0)), Preprocessing(height=16, width=16, frames=2))
    save_encoder(encoder, tmp_path / "encoder")
    again = load_encoder(tmp_path / "encoder")
    clips = np.random.default_rng(1).integers(0, 256, (2, 2, 16, 16, 3), np.uint8)
    np.testing.assert_array_equal(again.encode_clips(clips), encoder.encode_clips(clips))
    assert again.backbone.config == encoder.backbone.config
    parameters = nnx.to_flat_state(nnx.state(encoder.backbone, nnx.Param))
    assert not any("units" in path for path, _ in parameters)
    assert "beside it 4 x 4 cells" in encoder.summary


def test_an_encoder_of_depth_takes_what_its_backbone_takes() -> None:
    size = Preprocessing(height=16, width=16, frames=2, depth=DepthPlanes(2, 0.5, 4.5))
    net = backbone(depth_planes=2)
    assert VideoEncoder(net, Mean(net.embedding_size, rngs=nnx.Rngs(0)), size).backbone.depth_planes == 2


def test_what_makes_no_thumbnail_is_refused() -> None:
    inner = create_backbone("conv-lstm", **SIZES, rngs=nnx.Rngs(0))
    with pytest.raises(ConfigError, match=r"share must lie in 0\.\.1, got 1\.5"):
        ThumbnailBackbone(inner, 1.5)
    with pytest.raises(ConfigError, match="grid must be at least 1, got 0"):
        ThumbnailBackbone(inner, 0.5, grid=0)
    with pytest.raises(ConfigError, match="a thumbnail is of a chunk, and small-convnet takes single frames"):
        ThumbnailBackbone(create_backbone("small-convnet", rngs=nnx.Rngs(0)), 0.5)
    with pytest.raises(ValueError, match=r"thumbnail must be a squared distance above 0, got 0\.0"):
        ThumbnailBackbone(inner, 0.5).assign(1.0, 0.0)
