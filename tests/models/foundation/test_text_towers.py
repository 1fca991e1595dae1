"""SigLIP and CLIP, both towers, from their published files; tokens; and an index that is searched with words."""

from __future__ import annotations

import json

import numpy as np
import pytest
from foundation_making import (
    VOCABULARY,
    clip_arrays,
    clip_config,
    siglip_arrays,
    siglip_config,
    tokenizer_json,
    write_folder,
)
from foundation_originals import clip_original, siglip_original
from PIL import Image
from reference import transformers_twin as twin
from reference.stages import assert_close, random_images, stages_of

import jaxret
from jaxret import Retriever, SequenceSearch, VectorSearch
from jaxret.__main__ import dispatch
from jaxret.data.decode.write import write_video
from jaxret.errors import ConfigError, MediaError, WeightsError
from jaxret.models import FrozenSettings, frozen_encoder, load_encoder, save_encoder
from jaxret.models.foundation import open_published
from jaxret.models.store import fingerprint
from jaxret.models.text import Tokenizer, read_tokenizer
from jaxret.models.text.tokens import BYTE_PAIRS, SENTENCE_PIECES

pytest.importorskip("tokenizers", reason="needs the extra text")


@pytest.fixture(scope="module")
def siglip(tmp_path_factory):
    folder = tmp_path_factory.mktemp("siglip")
    return write_folder(folder, siglip_config(), siglip_arrays(), tokenizer=tokenizer_json())


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    folder = tmp_path_factory.mktemp("clip")
    words = tokenizer_json(start="<start>", end="<end>")
    return write_folder(folder, clip_config(), clip_arrays(), tokenizer=words)


@pytest.mark.parametrize("size", [pytest.param((32, 32), marks=pytest.mark.slow), (24, 40)])
def test_siglip_images(siglip, size):
    found = open_published(siglip)
    pixels = random_images(*size)
    ours = stages_of(found.backbone, pixels)
    expected = twin.siglip(siglip_arrays(), pixels[1] / 127.5 - 1, heads=2)
    for stage, values in expected.items():
        assert_close(ours[stage][1], values)


@pytest.mark.parametrize("stacked", [pytest.param(False, marks=pytest.mark.slow), True])
def test_siglips_authors_own_file_gives_the_same(tmp_path, stacked):
    """Other names and layouts; blocks one by one, or all in one array."""
    np.savez(tmp_path / "siglip.npz", **siglip_original(siglip_arrays(), stacked=stacked))
    found = open_published(tmp_path / "siglip.npz")
    assert found.words is None  # there is no tokenizer yet
    pixels = random_images(32, 32)
    ours = stages_of(found.backbone, pixels)
    for stage, values in twin.siglip(siglip_arrays(), pixels[0] / 127.5 - 1, heads=2).items():
        assert_close(ours[stage][0], values)
    (tmp_path / "tokenizer.json").write_text(tokenizer_json())
    words = open_published(tmp_path / "siglip.npz").words
    tokens = words.tokenizer(["A red, CAR!"])
    assert tokens[0].tolist() == [*map(VOCABULARY.index, ("a", "red", "car")), 1, 1, 1]  # cleaned as SigLIP's are
    assert_close(words.tower(tokens).embedding[0], twin.siglip_text(siglip_arrays(), tokens[0], heads=2))


def test_siglip_words(siglip):
    words = open_published(siglip).words
    tokens = words.tokenizer(["A red, CAR!", "the dog runs in the green field"])
    number = VOCABULARY.index
    assert tokens[0].tolist() == [number("a"), number("red"), number("car"), 1, 1, 1]  # cleaned, ended, padded
    cut = ["the", "dog", "runs", "in", "the"]
    assert tokens[1].tolist() == [*map(number, cut), 1]  # the end of a long text is lost
    embeddings = np.asarray(words.tower(tokens).embedding)
    for row, text in zip(embeddings, tokens, strict=True):
        assert_close(row, twin.siglip_text(siglip_arrays(), text, heads=2))


@pytest.mark.parametrize("size", [pytest.param((32, 32), marks=pytest.mark.slow), (40, 24)])
def test_clip_images(clip, size):
    found = open_published(clip)
    pixels = random_images(*size)
    ours = stages_of(found.backbone, pixels)
    expected = twin.clip(clip_arrays(), (pixels[1] / 255 - found.sizing.mean) / found.sizing.deviation, heads=2)
    for stage, values in expected.items():
        assert_close(ours[stage][1], values)


@pytest.mark.parametrize("end", [29, 2])
def test_clip_words(tmp_path, end):
    """Early files name a wrong end of text; the token of the highest number is meant."""
    tokenizer = tokenizer_json(start="<start>", end="<end>")
    words = open_published(write_folder(tmp_path, clip_config(end=end), clip_arrays(), tokenizer=tokenizer)).words
    tokens = words.tokenizer(["a dog", "Dog runs in the green field"])
    assert tokens[0].tolist() == [0, VOCABULARY.index("a"), VOCABULARY.index("dog"), 29, 29, 29]
    assert tokens[1].tolist()[-1] == 29
    embeddings = np.asarray(words.tower(tokens).embedding)
    for row, text in zip(embeddings, tokens, strict=True):
        assert_close(row, twin.clip_text(clip_arrays(), text, heads=2, end=29))


def test_clips_authors_own_archive_gives_the_same(tmp_path):
    arrays = clip_arrays(units=64)  # a head of 64, as in all of them
    (tmp_path / "own.pt").write_bytes(clip_original(arrays))
    (tmp_path / "tokenizer.json").write_text(tokenizer_json(start="<start>", end="<end>"))
    found, pixels = open_published(tmp_path / "own.pt"), random_images(32, 32)
    ours = stages_of(found.backbone, pixels)
    image = (pixels[1] / 255 - found.sizing.mean) / found.sizing.deviation
    for stage, values in twin.clip(arrays, image, heads=1).items():
        assert_close(ours[stage][1], values)
    tokens = found.words.tokenizer(["a dog"])
    assert_close(found.words.tower(tokens).embedding[0], twin.clip_text(arrays, tokens[0], heads=1, end=29))


def test_a_vocabulary_of_byte_pairs_makes_the_same_tokens(tmp_path):
    """By hand: the merges join l-o, lo-w</w> and é's two bytes; a number is split into its digits."""
    from tokenizers.pre_tokenizers import ByteLevel

    letters = sorted(ByteLevel.alphabet())
    tokens = [*letters, *(f"{letter}</w>" for letter in letters), "lo", "low</w>", "Ã©</w>"]
    vocabulary = {token: number for number, token in enumerate([*tokens, "<|startoftext|>", "<|endoftext|>"])}
    (tmp_path / "vocab.json").write_text(json.dumps(vocabulary))
    (tmp_path / "merges.txt").write_text("#version: 0.2\nl o\nlo w</w>\nÃ ©</w>\n", encoding="utf-8")
    (tmp_path / "tokenizer_config.json").write_text(json.dumps({"pad_token": "<|endoftext|>"}))
    tokenizer = read_tokenizer(tmp_path, BYTE_PAIRS, length=12, cleaning="none", padding=1)
    end = vocabulary["<|endoftext|>"]
    expected = ["<|startoftext|>", "low</w>", "lo", "o</w>", "Ã©</w>", "1</w>", "2</w>", "!", "?</w>"]
    assert tokenizer(["Low  loo \u00e9 12!?"])[0].tolist() == [*(vocabulary[token] for token in expected), *[end] * 3]
    assert tokenizer.file == "tokenizer.json"
    whole = (tmp_path / "merges.txt").read_bytes()
    (tmp_path / "merges.txt").write_text("a b c\n")
    with pytest.raises(WeightsError, match=r"merges\.txt is damaged: a line must hold two parts of a token"):
        read_tokenizer(tmp_path, BYTE_PAIRS, length=12, cleaning="none", padding=1)
    (tmp_path / "merges.txt").write_bytes(whole)
    (tmp_path / "vocab.json").write_text('{"a": 1}')
    with pytest.raises(WeightsError, match=r"has no token <\|startoftext\|>: it is no vocabulary of CLIP"):
        read_tokenizer(tmp_path, BYTE_PAIRS, length=12, cleaning="none", padding=1)
    (tmp_path / "vocab.json").write_text('["a"]')
    with pytest.raises(WeightsError, match="it gives no numbers to tokens"):
        read_tokenizer(tmp_path, BYTE_PAIRS, length=12, cleaning="none", padding=1)


def test_the_padding_token_is_the_one_that_the_files_name(tmp_path, clip):
    config = json.dumps({"pad_token": {"content": "<unk>"}})
    tokenizer = tokenizer_json(start="<start>", end="<end>")
    folder = write_folder(tmp_path, clip_config(), clip_arrays(), tokenizer=tokenizer, tokenizer_config=config)
    assert open_published(folder).words.tokenizer(["a dog"])[0].tolist()[-2:] == [2, 2]
    (folder / "tokenizer_config.json").write_text("[")
    with pytest.raises(WeightsError, match="the tokenizer's files are damaged"):
        open_published(folder)


def test_sentencepiece_models_are_read(tmp_path):
    sentencepiece = pytest.importorskip("sentencepiece", reason="needs the extra text")
    lines = tmp_path / "lines.txt"
    lines.write_text("a red car turning on the road\nthe dog runs in the green field\n" * 20)
    prefix = tmp_path / "spiece"
    sentencepiece.SentencePieceTrainer.train(
        input=str(lines), model_prefix=str(prefix), vocab_size=40, model_type="bpe", minloglevel=2
    )
    content = prefix.with_suffix(".model").read_bytes()
    tokens = Tokenizer("spiece.model", content, length=12, padding=1, cleaning="canonical")(["A RED car!"])[0]
    pieces = sentencepiece.SentencePieceProcessor(model_proto=content)
    expected = [*pieces.encode("a red car"), pieces.eos_id()]
    assert tokens.tolist() == [*expected, *[1] * (12 - len(expected))]
    with pytest.raises(WeightsError, match="the sentencepiece model is damaged"):
        Tokenizer("spiece.model", b"no", length=12, padding=1, cleaning="none")(["a"])
    with pytest.raises(WeightsError, match=r"tokenizer\.json is damaged"):
        Tokenizer("tokenizer.json", b"{}", length=12, padding=1, cleaning="none")(["a"])


def test_files_of_two_families_in_one_folder_take_each_its_own_tokenizer(tmp_path):
    arrays = clip_arrays(units=64)
    (tmp_path / "own.pt").write_bytes(clip_original(arrays))
    np.savez(tmp_path / "siglip.npz", **siglip_original(siglip_arrays(), stacked=False))
    (tmp_path / "spiece.model").write_bytes(b"of SigLIP")
    found = open_published(tmp_path / "own.pt")
    assert found.words is None
    assert found.missing_tokenizer == "tokenizer.json or vocab.json and merges.txt"
    tokens = ["<|startoftext|>", "<|endoftext|>", "d", "o", "g</w>"]
    vocabulary = dict(zip(tokens, (28, 29, 3, 4, 5), strict=True))
    (tmp_path / "vocab.json").write_text(json.dumps(vocabulary))
    (tmp_path / "merges.txt").write_text("#version: 0.2\n")
    found = open_published(tmp_path / "own.pt")
    assert found.words.tokenizer(["dog"])[0].tolist() == [28, 3, 4, 5, 29, 29]
    assert open_published(tmp_path / "siglip.npz").words.tokenizer.file == "spiece.model"


def test_the_tokenizer_of_another_encoder_is_refused(siglip, clip, tmp_path):
    """`tokenizer.json` is what both families call it: what it makes of a text tells."""
    for folder, others in ((tmp_path / "clip", siglip), (tmp_path / "siglip", clip)):
        arrays, config = (clip_arrays(), clip_config()) if others is siglip else (siglip_arrays(), siglip_config())
        write_folder(folder, config, arrays, tokenizer=(others / "tokenizer.json").read_text())
    with pytest.raises(WeightsError, match=r"tokenizer\.json is not .* it gives 'a dog' no token 29, the end that"):
        frozen_encoder(FrozenSettings(str(tmp_path / "clip"))).encode_text(["a dog"])
    path = tmp_path / "siglip" / "tokenizer.json"
    described = json.loads(path.read_text())
    described["model"]["vocab"] |= {"dog": 49406}
    path.write_text(json.dumps(described))
    with pytest.raises(WeightsError, match=r"tokenizer\.json is not .*: it has 49407 tokens, the tower 30"):
        frozen_encoder(FrozenSettings(str(tmp_path / "siglip"))).encode_text(["a man"])
    with pytest.raises(WeightsError, match=r"gives 'a dog' the token 49406, and the tower has 30"):
        frozen_encoder(FrozenSettings(str(tmp_path / "siglip"))).encode_text(["a dog"])


def test_a_tokenizer_that_knows_too_little_is_refused(siglip, tmp_path):
    """CLIP's beside SigLIP 2: all its tokens are within the larger vocabulary, where they mean something else."""
    path = tmp_path / "tokenizer.json"
    described = json.loads((siglip / "tokenizer.json").read_text())
    del described["model"]["vocab"]["<end>"]
    described["added_tokens"] = [token for token in described["added_tokens"] if token["content"] != "<end>"]
    path.write_text(json.dumps(described))
    tokenizer = read_tokenizer(tmp_path, SENTENCE_PIECES, length=12, cleaning="lower", padding=1)
    assert tokenizer(["a dog"], vocabulary=18).shape == (1, 12)
    with pytest.raises(WeightsError, match=r"tokenizer\.json is not .*: it has 16 tokens, the tower 256000"):
        tokenizer(["a dog"], vocabulary=256_000)


def test_an_encoder_of_words_is_stored_with_its_tokenizer(siglip, tmp_path):
    encoder = frozen_encoder(FrozenSettings(str(siglip), frames=2))
    save_encoder(encoder, tmp_path)
    again = load_encoder(tmp_path)
    assert fingerprint(again) == fingerprint(encoder)
    texts = ["a red car", "the dog"]
    np.testing.assert_array_equal(again.encode_text(texts), encoder.encode_text(texts))
    np.testing.assert_allclose(np.linalg.norm(again.encode_text(texts), axis=1), 1, atol=1e-5)
    with pytest.raises(ValueError, match="a text to search with must have words, got ' '"):
        again.encode_text([" "])
    (tmp_path / "tokenizer.json").write_text(tokenizer_json(start="<start>"))
    with pytest.raises(WeightsError, match=r"tokenizer\.json was altered"):
        load_encoder(tmp_path)
    (tmp_path / "tokenizer.json").unlink()
    with pytest.raises(WeightsError, match=r"tokenizer\.json: No such file"):
        load_encoder(tmp_path)


@pytest.fixture(scope="module")
def media(tmp_path_factory):
    folder = tmp_path_factory.mktemp("media")
    rng = np.random.default_rng(0)
    for number in range(6):
        Image.fromarray(rng.integers(0, 256, (32, 32, 3), np.uint8)).save(folder / f"{number}.png")
    frames = rng.integers(0, 256, (12, 32, 32, 3), np.uint8)
    write_video(folder / "film.mp4", np.repeat(frames, 5, axis=0), 30)
    return folder


def test_words_find_images_frames_and_chunks(siglip, media, tmp_path, capsys):
    index = tmp_path / "index"
    assert dispatch(["index", str(media), str(index), "--weights", str(siglip), "--quiet"]) == 0
    retriever = Retriever.open(index)
    encoder, text = retriever.encoder, "a red car turning"
    vector = np.asarray(encoder.encode_text([text]))[0]
    distances = {}
    rows = retriever.index.rows("frame", np.arange(len(retriever.index)))
    for row, item, start in zip(rows.vectors, rows.items, rows.starts, strict=True):
        key = retriever.index.items[int(item)].key
        nearest = distances.get(key, (np.inf, 0.0))
        distances[key] = min(nearest, (float(np.linalg.norm(row - vector)), float(start)))
    hits = retriever.search(text, k=7)
    assert [hit.item.key for hit in hits] == sorted(distances, key=lambda key: distances[key])
    for hit in hits:
        assert (hit.distance, hit.start) == pytest.approx(distances[hit.item.key], abs=1e-3)
    assert [hit.item.key for hit in retriever.search_text(text, k=7, kinds="image")] == [
        hit.item.key for hit in hits if hit.item.kind == "image"
    ]
    (chunk,) = retriever.search_text(text, options=VectorSearch(space="clip"))
    assert chunk.item.key == "film.mp4"
    assert chunk.moment == pytest.approx(distances["film.mp4"][1])
    capsys.readouterr()
    assert dispatch(["search", str(index), "--text", text, "-k", "2", "--json"]) == 0
    assert [json.loads(line)["key"] for line in capsys.readouterr().out.splitlines()] == [h.item.key for h in hits[:2]]
    with pytest.raises(MediaError, match=r"car\.mp4: no such file"):
        retriever.search("car.mp4")
    with pytest.raises(ValueError, match="words are no sequence of clips"):
        retriever.search_text(text, options=SequenceSearch("dtw"))


def test_an_index_without_words_says_so(clip, media, tmp_path):
    for name in ("config.json", "model.safetensors"):
        (tmp_path / name).write_bytes((clip / name).read_bytes())
    without = frozen_encoder(FrozenSettings(str(tmp_path)))
    retriever = Retriever.create(tmp_path / "index", without)
    retriever.add(jaxret.open_dataset(str(media)))
    for search in (retriever.search, retriever.search_text):
        with pytest.raises(
            ConfigError, match=r"cannot be searched with words, such as 'a red car': its encoder has no"
        ):
            search("a red car")
    with pytest.raises(MediaError, match="no such file"):
        retriever.search("car")
    with pytest.raises(ConfigError, match="name what to search with: an image or a video, or words with --text"):
        dispatch(["search", str(tmp_path / "index")])
    with pytest.raises(ConfigError, match=r"--text takes the place of the query car\.png: give one of them"):
        dispatch(["search", str(tmp_path / "index"), "car.png", "--text", "a red car"])
