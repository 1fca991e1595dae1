"""Weight files of PyTorch: read right, refused where wrong, and never executed."""

from __future__ import annotations

import io
import os
import pickletools
import zipfile
from collections import OrderedDict

import ml_dtypes
import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from weights_making import Call, Script, Storage, legacy_file, pickled, tensor, zip_file

from jaxret.errors import WeightsError
from jaxret.models.weights.load import read_weights

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
