"""MobileNet V1, EfficientNet-Lite0, VGG16 and ResNet-50 against NumPy twins, Keras and PyTorch."""

from __future__ import annotations

import os
import warnings
from pathlib import Path

import numpy as np
import pytest
from flax import nnx
from PIL import Image
from reference import image_networks as twin

from jaxret.errors import WeightsError
from jaxret.models import Encoding, create_backbone
from jaxret.models.weights.load import find_imagenet_weights, load_arrays, load_pretrained, read_weights


@nnx.jit
def encode(backbone, images) -> Encoding:
    return backbone(images)


def backbone_with(name: str, arrays, **options):
    backbone = create_backbone(name, **options, rngs=nnx.Rngs(1))
    load_arrays(backbone, arrays, source="the test")
    return backbone


def pictures(count: int, height: int, width: int, channels: int = 3) -> np.ndarray:
    return np.random.default_rng(7).integers(0, 256, (count, height, width, channels), np.uint8)


def assert_same_stages(encoding: Encoding, expected: dict) -> None:
    compared = {"embedding": encoding.embedding, **encoding.stages}
    assert sorted(compared) == sorted(expected)
    for name, array in compared.items():
        assert array.shape == expected[name].shape, name
        scale = np.abs(expected[name]).max()
        np.testing.assert_allclose(array, expected[name], atol=1e-4 * scale, rtol=0, err_msg=name)


# An odd size: there Keras' padding of stride-2 layers is not "SAME".
@pytest.mark.parametrize(("height", "width", "channels"), [(64, 96, 3), (45, 51, 1)])
def test_mobilenet_equals_its_twin_at_every_stage(height, width, channels):
    arrays = twin.random_mobilenet(np.random.default_rng(0), 0.25, classes=7, channels=channels)
    backbone = backbone_with("mobilenet-v1", arrays, width=0.25, classes=7, channels=channels)
    images = pictures(2, height, width, channels)
    assert_same_stages(encode(backbone, images), twin.mobilenet(arrays, images))


def test_efficientnet_lite0_equals_its_twin_at_every_stage():
    arrays = twin.random_lite0(np.random.default_rng(0), classes=5)
    backbone = backbone_with("efficientnet-lite0", arrays, classes=5)
    images = pictures(2, 64, 45)
    assert_same_stages(encode(backbone, images), twin.lite0(arrays, images))


def test_vgg16_equals_its_twin_at_every_stage():
    arrays = twin.random_vgg16(np.random.default_rng(0))
    backbone = backbone_with("vgg16", arrays)
    images = pictures(2, 32, 50)
    assert_same_stages(encode(backbone, images), twin.vgg16(arrays, images))


def test_resnet50_equals_its_twin_at_every_stage():
    arrays = twin.random_resnet50(np.random.default_rng(0), classes=5)
    backbone = backbone_with("resnet50", arrays, classes=5)
    images = pictures(1, 32, 50)
    assert_same_stages(encode(backbone, images), twin.resnet50(arrays, images))


def test_resnet50_repeats_grey_pictures_as_colour():
    arrays = twin.random_resnet50(np.random.default_rng(0))
    images = pictures(1, 32, 32, 1)

    @nnx.jit
    def stem(backbone, images):
        return backbone(images).stages["stem"]

    grey, colour = backbone_with("resnet50", arrays, channels=1), backbone_with("resnet50", arrays)
    np.testing.assert_allclose(stem(grey, images), stem(colour, images.repeat(3, -1)), atol=1e-5)


@pytest.mark.slow
def test_vgg16_with_its_dense_layers_equals_its_twin():
    arrays = twin.random_vgg16(np.random.default_rng(0), ("fc1", "fc2"), classes=9)
    images = pictures(2, 32, 32)
    expected = twin.vgg16(arrays, images)
    backbone = backbone_with("vgg16", arrays, classes=9, image_size=32, embedding="fc2")
    encoding = encode(backbone, images)
    scale = np.abs(expected["fc2"]).max()
    np.testing.assert_allclose(encoding.embedding, expected["fc2"], atol=1e-4 * scale)
    np.testing.assert_allclose(encoding.stages["logits"], expected["logits"], atol=1e-3 * scale)
    with pytest.raises(ValueError, match=r"dense layers of this vgg16 are for \(32, 32\) images, got \(64, 64\)"):
        backbone(pictures(1, 64, 64))


def test_vgg16_repeats_grey_pictures_as_colour():
    arrays = twin.random_vgg16(np.random.default_rng(0))
    images = pictures(1, 32, 32, 1)
    grey, colour = backbone_with("vgg16", arrays, channels=1), backbone_with("vgg16", arrays)
    np.testing.assert_allclose(
        encode(grey, images).embedding, encode(colour, images.repeat(3, -1)).embedding, rtol=1e-5
    )


@pytest.mark.parametrize("family", ["mobilenet-v1", "efficientnet-lite0"])
def test_colour_weights_in_a_grey_network_equal_showing_grey_as_colour(family):
    rng = np.random.default_rng(0)
    if family == "mobilenet-v1":
        arrays, options = twin.random_mobilenet(rng, 0.125), {"width": 0.125}
    else:
        arrays, options = twin.random_lite0(rng), {}
    images = pictures(1, 32, 32, 1)
    grey = backbone_with(family, arrays, channels=1, **options)
    colour = backbone_with(family, arrays, **options)

    @nnx.jit
    def first_map(backbone, images):
        return backbone(images).stages[backbone.stage_names[0]]

    np.testing.assert_allclose(first_map(grey, images), first_map(colour, images.repeat(3, -1)), atol=1e-4)


# Peers: Keras and PyTorch, where they are installed.


@pytest.fixture(scope="module")
def keras():
    os.environ.setdefault("KERAS_BACKEND", "jax")
    return pytest.importorskip("keras", reason="keras is not installed (extra `bench`)")


def photographs(folder: Path, size: int, count: int) -> np.ndarray:
    """Real photographs, and frames of real clips, resized to (size, size)."""
    import av

    paths = sorted((folder / "data/corel5k/test").glob("*/*.jpg"))
    images = [
        np.asarray(Image.open(path).convert("RGB").resize((size, size))) for path in paths[:: len(paths) // count]
    ]
    for path in sorted((folder / "data/jhmdb").glob("*/*.mp4"))[::120]:
        with av.open(str(path)) as clip:
            frame = next(clip.decode(video=0)).to_image()
        images.append(np.asarray(frame.convert("RGB").resize((size, size))))
    return np.stack(images)


@pytest.fixture(scope="module")
def photos(shared_media) -> np.ndarray:
    return photographs(shared_media, 224, 24)


@pytest.fixture(scope="module")
def mobilenet_weights(shared_media) -> Path:
    path = shared_media / "weights/mobilenet_1_0_224_tf.h5"
    if not path.is_file():
        pytest.skip(f"no weights at {path}")
    return path


@pytest.fixture(scope="module")
def lite0_weights() -> Path:
    try:
        return find_imagenet_weights("efficientnet-lite0")
    except WeightsError as error:
        pytest.skip(str(error))


def embedding_and_scores(name: str, spec, images) -> tuple[np.ndarray, np.ndarray]:
    backbone = create_backbone(name, classes=1000, rngs=nnx.Rngs(0))
    load_pretrained(backbone, spec)
    encoding = encode(backbone, images)
    return np.asarray(encoding.embedding), np.asarray(encoding.stages["logits"])


@pytest.fixture(scope="module")
def mobilenet_outputs(photos, mobilenet_weights):
    return embedding_and_scores("mobilenet-v1", mobilenet_weights, photos)


@pytest.fixture(scope="module")
def lite0_outputs(photos, lite0_weights):
    return embedding_and_scores("efficientnet-lite0", "imagenet", photos)


def assert_same_on_every_picture(ours, theirs) -> None:
    (embedding, scores), (peer_embedding, peer_scores) = ours, theirs
    difference = np.linalg.norm(embedding - peer_embedding, axis=1) / np.linalg.norm(peer_embedding, axis=1)
    assert difference.max() < 1e-4
    np.testing.assert_array_equal(np.argmax(scores, 1), np.argmax(peer_scores, 1))
    assert len(set(np.argmax(scores, 1))) > len(scores) / 4  # else agreement would mean little


def test_mobilenet_features_and_top1_are_keras_own_on_real_photographs(
    keras, photos, mobilenet_weights, mobilenet_outputs
):
    peer = keras.applications.MobileNet(weights=None)
    peer.load_weights(mobilenet_weights)
    peer = keras.Model(peer.input, [peer.get_layer("global_average_pooling2d").output, peer.output])
    features, scores = peer.predict_on_batch(keras.applications.mobilenet.preprocess_input(photos.astype(np.float32)))
    assert_same_on_every_picture(mobilenet_outputs, (np.reshape(features, (len(photos), -1)), scores))


def test_keras_files_of_both_layouts_give_keras_own_arrays(keras, tmp_path):
    peer = keras.applications.MobileNet(weights=None, alpha=0.25, input_shape=(64, 64, 3), classes=3)
    rng = np.random.default_rng(0)
    peer.set_weights([rng.normal(size=w.shape).astype(np.float32) for w in peer.weights])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Keras converts its arrays in a way that NumPy is about to drop
        peer.save(tmp_path / "saved-model.h5")
        peer.save_weights(tmp_path / "keras3.weights.h5")
        expected = {weight.path: np.asarray(weight.value) for weight in peer.weights}
    for name in ("saved-model.h5", "keras3.weights.h5"):
        found = read_weights(tmp_path / name)
        assert found.keys() == expected.keys()
        assert all(np.array_equal(found[key], expected[key]) for key in found)


@pytest.mark.slow
def test_vgg16_embedding_is_keras_pooled_map(keras, tmp_path):
    images = pictures(2, 32, 32)
    normalised = keras.applications.vgg16.preprocess_input(images.astype(np.float32))
    peer = keras.applications.VGG16(weights=None, include_top=False, input_shape=(32, 32, 3), pooling="avg")
    rng = np.random.default_rng(0)
    peer.set_weights([rng.normal(0, 0.05, w.shape).astype(np.float32) for w in peer.weights])
    path = tmp_path / "vgg16.weights.h5"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        peer.save_weights(path)
    expected = np.asarray(peer.predict_on_batch(normalised))
    backbone = create_backbone("vgg16", rngs=nnx.Rngs(0))
    load_pretrained(backbone, path)
    np.testing.assert_allclose(encode(backbone, images).embedding, expected, atol=1e-4 * np.abs(expected).max())


def lite0_in_torch(torch, state: dict, images: np.ndarray):
    """EfficientNet-Lite0 written plainly in PyTorch, padding by hand: embedding and scores."""
    functional = torch.nn.functional

    def layer(x, kernel, norm, stride=1, activation=True):
        weight = state[f"{kernel}.weight"]
        window = weight.shape[-1]
        pads = []
        for size in (x.shape[3], x.shape[2]):  # width first, as torch.nn.functional.pad wants it
            total = max((-(-size // stride) - 1) * stride + window - size, 0)
            pads += [total // 2, total - total // 2]
        x = functional.conv2d(
            functional.pad(x, pads), weight, stride=stride, groups=x.shape[1] if weight.shape[1] == 1 else 1
        )
        mean, variance, scale, bias = (state[f"{norm}.{r}"] for r in ("running_mean", "running_var", "weight", "bias"))
        x = functional.batch_norm(x, mean, variance, scale, bias, eps=1e-3)
        return functional.relu6(x) if activation else x

    x = (torch.tensor(images).permute(0, 3, 1, 2).float() - 127) / 128
    x = layer(x, "_conv_stem", "_bn0", 2)
    for n, (_, stride, expansion, into, out) in enumerate(twin.LITE0_BLOCKS):
        block, before = f"_blocks.{n}", x
        if expansion > 1:
            x = layer(x, f"{block}._expand_conv", f"{block}._bn0")
        x = layer(x, f"{block}._depthwise_conv", f"{block}._bn1", stride)
        x = layer(x, f"{block}._project_conv", f"{block}._bn2", activation=False)
        x = x + before if stride == 1 and into == out else x
    embedding = layer(x, "_conv_head", "_bn1").mean((2, 3))
    return embedding.numpy(), (embedding @ state["_fc.weight"].T + state["_fc.bias"]).numpy()


def test_efficientnet_lite0_with_imagenet_weights_equals_pytorch_on_real_photographs(
    photos, lite0_weights, lite0_outputs
):
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")
    state = torch.load(lite0_weights, map_location="cpu", weights_only=True)
    with torch.no_grad():
        assert_same_on_every_picture(lite0_outputs, lite0_in_torch(torch, state, photos))


def test_two_networks_trained_apart_often_name_the_same_class_of_a_real_photograph(mobilenet_outputs, lite0_outputs):
    """That colours, ranges and class orders are right: of 1,000 classes, chance would agree on none."""
    named = [np.argmax(scores, 1) for _, scores in (mobilenet_outputs, lite0_outputs)]
    assert np.mean(named[0] == named[1]) > 0.25
