"""A network of clips as a backbone: it gives what the encoder of its two parts gives."""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from jaxret.errors import ConfigError
from jaxret.models import ClipNetwork, HashLayer, Mean, TemporalEncoder, VideoEncoder, create_backbone
from jaxret.preprocessing import Preprocessing

SIZE, FRAMES = 16, 3


def parts(rngs: nnx.Rngs) -> tuple:
    return create_backbone("small-convnet", embedding_size=8, rngs=rngs), TemporalEncoder(8, 5, rngs=rngs)


def test_it_equals_the_encoder_of_its_parts() -> None:
    frames, sequence = parts(nnx.Rngs(0))
    clips = jnp.asarray(np.random.default_rng(0).integers(0, 256, (2, FRAMES, SIZE, SIZE, 3), np.uint8))
    expected = VideoEncoder(frames, sequence, Preprocessing(SIZE, SIZE, frames=FRAMES)).encode_clips(clips)
    network = ClipNetwork(frames, sequence)
    assert (network.unit, network.embedding_size) == ("chunk", 5)
    np.testing.assert_allclose(network(clips).embedding, expected, rtol=1e-5, atol=1e-6)


def test_its_config_makes_it_again() -> None:
    network = ClipNetwork(*parts(nnx.Rngs(0)))
    again = create_backbone(**network.config, rngs=nnx.Rngs(0))
    assert (again.config, again.embedding_size, again.unit) == (network.config, 5, "chunk")
    assert network.summary == "small-convnet, then lstm of 5 units"


def test_parts_that_do_not_fit_are_refused() -> None:
    rngs = nnx.Rngs(0)
    frames, sequence = parts(rngs)
    with pytest.raises(ConfigError, match="a sequence is of single frames, and c3d takes chunks"):
        ClipNetwork(create_backbone("c3d", width=1 / 64, embedding_size=8, rngs=rngs), sequence)
    with pytest.raises(ConfigError, match="must take vectors of 8 and give no code, got one of vectors of 9 and codes"):
        ClipNetwork(frames, Mean(9, rngs=rngs))
    with pytest.raises(ConfigError, match="got one of vectors of 8 and codes of 16 bits"):
        ClipNetwork(frames, HashLayer(sequence, 16, rngs=rngs))
