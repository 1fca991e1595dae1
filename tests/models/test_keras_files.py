"""Weight files of Keras: read right, and refused before HDF5 does what it should not."""

from __future__ import annotations

import struct

import h5py
import numpy as np
import pytest
from flax import nnx
from reference import image_networks as twin
from weights_making import keras_file

from jaxret.errors import WeightsError
from jaxret.models import create_backbone
from jaxret.models.weights.load import load_pretrained, read_weights


def test_keras_files_old_and_new_are_read(tmp_path):
    arrays = twin.random_vgg16(np.random.default_rng(0))
    old = {"kernel": "W_1", "bias": "b_1"}
    for number, options in enumerate([{}, {"name": lambda layer, role: f"{layer}_{old[role]}"}, {"suffix": ""}]):
        path = tmp_path / f"{number}.h5"
        keras_file(path, arrays, **options)
        found = read_weights(path)
        assert found.keys() == arrays.keys()
        assert all(np.array_equal(found[key], arrays[key]) for key in arrays)


def test_keras_mobilenet_of_keras_2_calls_its_kernels_depthwise(tmp_path):
    arrays = twin.random_mobilenet(np.random.default_rng(0), 0.125, classes=3)

    def name(layer, role):
        return (
            f"{layer}/depthwise_kernel"
            if (layer[:7], role) == ("conv_dw", "kernel") and "bn" not in layer
            else f"{layer}/{role}"
        )

    keras_file(tmp_path / "m.h5", arrays, name=name)
    for classes in (0, 3):  # the head is left out where there is none
        backbone = create_backbone("mobilenet-v1", width=0.125, classes=classes, rngs=nnx.Rngs(0))
        load_pretrained(backbone, tmp_path / "m.h5")
        np.testing.assert_array_equal(backbone.layers["conv_dw_3"].kernel[...], arrays["conv_dw_3/kernel"][..., 0])
        np.testing.assert_array_equal(
            backbone.layers["conv_pw_9"].norm.var[...], arrays["conv_pw_9_bn/moving_variance"]
        )
    np.testing.assert_array_equal(backbone.head.kernel[...], arrays["conv_preds/kernel"][0, 0])


def test_damaged_and_foreign_hdf5_files_are_refused(tmp_path):
    arrays = {"conv1/kernel": np.ones((3, 3, 3, 4), np.float32)}
    path = tmp_path / "w.h5"
    keras_file(path, arrays)
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(WeightsError, match=r"w\.h5 is damaged or not a Keras weight file"):
        read_weights(path)
    path.write_bytes(b"not hdf5")
    with pytest.raises(WeightsError, match="damaged or not a Keras weight file"):
        read_weights(path)
    with h5py.File(path, "w") as file:
        file["x"] = np.ones(3)
    with pytest.raises(WeightsError, match="damaged or not a Keras weight file"):
        read_weights(path)

    keras_file(tmp_path / "other.h5", arrays)
    keras_file(path, arrays)
    with h5py.File(path, "a") as file:
        del file["conv1/conv1/kernel:0"]
        file["conv1/conv1/kernel:0"] = h5py.ExternalLink("other.h5", "/conv1/conv1/kernel:0")
    with pytest.raises(WeightsError, match="link to another file"):
        read_weights(path)
    with h5py.File(path, "a") as file:
        del file["conv1/conv1/kernel:0"]
        file.create_dataset("conv1/conv1/kernel:0", shape=(2**20, 2**20), chunks=(1024, 1024), dtype="f4")
    with pytest.raises(WeightsError, match="conv1/kernel claims more data than the file holds"):
        read_weights(path)
    with h5py.File(path, "a") as file:
        del file["conv1/conv1/kernel:0"]
        file["conv1/conv1/kernel:0"] = np.ones(3, np.int32)
    with pytest.raises(WeightsError, match="element type int32, not floating"):
        read_weights(path)


@pytest.mark.parametrize("soft", [False, True])
@pytest.mark.parametrize("place", ["model_weights", "layers", "layers/conv1"])
def test_groups_that_lie_in_another_file_are_refused(tmp_path, place, soft):
    keras_file(tmp_path / "other.h5", {"conv1/kernel": np.ones(2, np.float32)})
    with h5py.File(tmp_path / "other.h5", "a") as file:
        variables = file.create_group("layers/conv1/vars")
        variables.attrs["name"] = "conv1"
        variables["0"] = np.ones(2, np.float32)
    path = tmp_path / "w.h5"
    with h5py.File(path, "w") as file:
        file["away" if soft else place] = h5py.ExternalLink("other.h5", "/" if place == "model_weights" else place)
        if soft:
            file[place] = h5py.SoftLink("/away")
    with pytest.raises(WeightsError, match=rf"{place.split('/')[-1]} is a link to another file"):
        read_weights(path)


def test_half_floats_of_keras_are_read(tmp_path):
    path = tmp_path / "w.h5"
    keras_file(path, {"conv/kernel": np.full((1, 2), 0.5, np.float16)})
    assert read_weights(path)["conv/kernel"].dtype == np.float16


def test_layers_of_keras_without_names_get_advice(tmp_path):
    path = tmp_path / "w.h5"
    with h5py.File(path, "w") as file:
        file["layers/conv2d/vars/0"] = np.ones((2, 2), np.float32)
    with pytest.raises(WeightsError, match="its layers have no names"):
        read_weights(path)


@pytest.mark.parametrize("variables", [False, True])
def test_names_of_hdf5_that_are_no_texts_are_refused(tmp_path, variables):
    path = tmp_path / "w.h5"
    if variables:
        with h5py.File(path, "w") as file:
            group = file.create_group("layers/conv/vars")
            group.attrs["name"] = "conv"
            group["0"] = np.ones(2, np.float32)
    else:
        keras_file(path, {"conv/kernel": np.ones(2, np.float32), "conv/bias": np.ones(2, np.float32)})
    whole = path.read_bytes()
    name = b"name\0\0\0\0" if variables else b"weight_names\0\0\0\0"
    broken = whole.replace(name + b"\x19\x01", name + b"\x19\x05")  # lists of no kind: HDF5 ends the process
    assert broken != whole
    path.write_bytes(broken)
    with pytest.raises(WeightsError, match=r"names? of /(conv|layers/conv/vars) is no text"):
        read_weights(path)


def test_texts_of_hdf5_that_have_no_end_or_claim_too_much_are_refused(tmp_path):
    path = tmp_path / "w.h5"
    keras_file(path, {"conv/kernel": np.ones(2, np.float32), "conv/bias": np.ones(2, np.float32)})
    whole = path.read_bytes()
    heap = whole.index(b"GCOL")
    free = whole.index(struct.pack("<HHIQ", 0, 0, 0, 4096 - 128), heap)
    text = whole.index(struct.pack("<IQ", len("conv/bias:0"), heap))
    for place, content, message in [
        (free + 8, bytes(8), "the heap of its texts has no end"),  # HDF5 never returns
        (free + 8, struct.pack("<Q", 3840), "the heap of its texts has no end"),  # zeros behind what is free: neither
        (heap + 5, b"\1\2\3" + struct.pack("<Q", 4096) + whole[heap + 16 : free + 8] + bytes(8), "has no end"),
        (heap + 16, struct.pack("<HHIQ", 1, 0, 0, 2**64 - 16), f"a text claims {2**64 - 16} bytes"),
        (text, struct.pack("<I", 2**32 - 64), "a text claims 4294967232 bytes"),  # HDF5 takes 4 GB
    ]:
        path.write_bytes(whole[:place] + content + whole[place + len(content) :])
        with pytest.raises(WeightsError, match=message):
            read_weights(path)


@pytest.mark.parametrize("version", ["earliest", "latest"])
def test_texts_of_hdf5_that_claim_too_much_outside_any_heap_are_refused(tmp_path, version):
    path = tmp_path / "w.h5"
    with h5py.File(path, "w", libver=version) as file:
        group = file.create_group("layers/conv/vars")
        group.attrs["name"] = "conv"
        group["0"] = np.ones(2, np.float32)
    assert read_weights(path).keys() == {"conv/kernel"}
    whole = path.read_bytes()
    text = struct.pack("<IQ", 4, whole.index(b"GCOL"))
    path.write_bytes(whole.replace(text, struct.pack("<IQ", 2**32 - 64, 2**62)))  # HDF5 takes 4 GB
    with pytest.raises(WeightsError, match="a text claims 4294967232 bytes"):
        read_weights(path)
