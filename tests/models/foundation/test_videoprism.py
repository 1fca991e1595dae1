"""VideoPrism from its authors' file and from a folder, against a slow twin; and an index of its chunks."""

from __future__ import annotations

import numpy as np
import pytest
from flax import nnx
from foundation_making import videoprism_arrays, write_folder
from PIL import Image
from reference import transformers_twin as twin
from reference.stages import assert_close, stages_of

from jaxret import Retriever
from jaxret.__main__ import dispatch
from jaxret.data.decode.write import write_video
from jaxret.errors import ConfigError
from jaxret.models import create_backbone
from jaxret.models.foundation import open_published


def chunks(time: int = 4, height: int = 36, width: int = 36) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (2, time, height, width, 3), np.uint8)


@pytest.fixture(scope="module")
def published(tmp_path_factory):
    path = tmp_path_factory.mktemp("videoprism") / "flax_base_f16r288_repeated.npz"
    np.savez(path, **videoprism_arrays())
    return path


def as_folder(folder):
    """The same arrays as Hugging Face lays them out."""
    arrays = videoprism_arrays()
    out = {
        "spatial_embeddings.patch_embeddings.projection.weight": arrays["params/patch_projection/linear/kernel"]
        .reshape(18, 18, 3, 16)
        .transpose(3, 2, 0, 1)[:, :, None],
        "spatial_embeddings.patch_embeddings.projection.bias": arrays["params/patch_projection/linear/bias"],
        "spatial_embeddings.position_embeddings": arrays["params/spatial_pos_emb/emb_var"][None],
        "temporal_embeddings.position_embeddings": arrays["params/temporal_pos_emb/emb_var"][None],
    }
    for number, part in enumerate(("spatial", "temporal"), start=1):
        out[f"layernorm{number}.weight"] = arrays[f"params/{part}_ln/scale"]
        out[f"layernorm{number}.bias"] = arrays[f"params/{part}_ln/bias"]
        root = f"params/{part}_encoder/transformers_stack/x_layers"
        for block in range(len(arrays[f"{root}/layer_norm/scale"])):
            theirs = f"{part}_layers.{block}"
            for norm, name in (("layer_norm", "layernorm_before"), ("ff_layer/layer_norm", "layernorm_after")):
                out[f"{theirs}.{name}.weight"] = arrays[f"{root}/{norm}/scale"][block]
                out[f"{theirs}.{name}.bias"] = arrays[f"{root}/{norm}/bias"][block]
            for layer in ("query", "key", "value"):
                place, name = f"{root}/self_attention/{layer}", f"{theirs}.attention.{layer[0]}_proj"
                out[f"{name}.weight"] = arrays[f"{place}/w"][block].reshape(16, 16).T
                out[f"{name}.bias"] = arrays[f"{place}/b"][block].reshape(16)
            out[f"{theirs}.attention.o_proj.weight"] = arrays[f"{root}/self_attention/post/w"][block].reshape(16, 16)
            out[f"{theirs}.attention.o_proj.bias"] = arrays[f"{root}/self_attention/post/b"][block]
            for place, name in (("ffn_layer1", "fc1"), ("ffn_layer2", "fc2")):
                out[f"{theirs}.mlp.{name}.weight"] = arrays[f"{root}/ff_layer/{place}/linear/kernel"][block].T
                out[f"{theirs}.mlp.{name}.bias"] = arrays[f"{root}/ff_layer/{place}/linear/bias"][block]
    config = {
        "model_type": "videoprism_vision_model",
        "hidden_size": 16,
        "num_attention_heads": 2,
        "intermediate_size": 32,
        "num_spatial_layers": 2,
        "num_temporal_layers": 1,
        "num_frames": 4,
        "image_size": 36,
        "tubelet_size": [1, 18, 18],
    }
    return write_folder(folder, config, {name: np.ascontiguousarray(array) for name, array in out.items()})


def test_every_stage_is_that_of_the_twin(published, tmp_path):
    pixels = chunks()
    expected = twin.videoprism(videoprism_arrays(), pixels[1] / 255)
    for path in (published, as_folder(tmp_path)):
        found = open_published(path)
        assert (found.family, found.sizing.height, found.backbone.frames) == ("videoprism", 36, 4)
        ours = stages_of(found.backbone, pixels)
        assert sorted(ours) == sorted(expected)
        for stage, values in expected.items():
            assert_close(ours[stage][1], values)


def test_the_cap_of_the_logits_counts(published):
    """The twin caps them: an encoder without a cap must not agree with it."""
    found = open_published(published)
    plain = create_backbone(**found.backbone.config | {"softcap": 0.0}, rngs=nnx.Rngs(0))
    nnx.update(plain, nnx.state(found.backbone))
    ours, capped = (stages_of(net, chunks())["embedding"] for net in (plain, found.backbone))
    assert np.abs(ours - capped).max() > 1e-3 * np.abs(capped).max()


def test_chunks_of_other_lengths_and_sizes_are_encoded(published):
    backbone = open_published(published).backbone
    assert stages_of(backbone, chunks(6, 54, 36))["patch_grid"].shape == (2, 6, 3, 2, 16)
    with pytest.raises(ValueError, match=r"chunks must have shape \(B, T, H, W, 3\) for this video-prism"):
        backbone(np.zeros((2, 36, 36, 3), np.uint8))
    with pytest.raises(ConfigError, match="units must be a multiple of the 5 heads, got 16"):
        create_backbone("video-prism", units=16, heads=5, rngs=nnx.Rngs(0))


def test_an_index_of_its_chunks_finds_copies(published, tmp_path):
    rng = np.random.default_rng(0)
    films, copies = tmp_path / "films", tmp_path / "copies"
    for folder in (films, copies):
        folder.mkdir()
    for number in range(4):
        steps = rng.integers(0, 256, (3, 4, 4, 3), np.uint8)
        frames = np.stack([np.asarray(Image.fromarray(step).resize((48, 48))) for step in steps]).repeat(6, axis=0)
        write_video(films / f"{number}.mp4", frames, 12)
        write_video(copies / f"{number}.mp4", (frames * 0.9).astype(np.uint8), 12)
    Image.fromarray(rng.integers(0, 256, (40, 40, 3), np.uint8)).save(films / "still.png")
    index = tmp_path / "index"
    assert dispatch(["index", str(films), str(index), "--weights", str(published), "--quiet"]) == 0
    retriever = Retriever.open(index)
    assert retriever.encoder.preprocessing.frames == 4
    first = [retriever.search(copies / f"{number}.mp4", k=1)[0].item.key for number in range(4)]
    assert first == [f"{number}.mp4" for number in range(4)]
    assert retriever.search(films / "still.png", k=1)[0].item.key == "still.png"
