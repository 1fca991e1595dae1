"""An index that knows words, over HTTP."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from foundation_making import siglip_arrays, siglip_config, tokenizer_json, write_folder
from PIL import Image
from serve.server import running

import jaxret
from jaxret import Retriever
from jaxret.models import FrozenSettings, frozen_encoder
from jaxret.models.kept_encoder import KeptEncoder
from jaxret.retrieval import Feedback, Mark

pytest.importorskip("tokenizers", reason="needs the extra text")


def test_words_are_searched_with_and_refined(tmp_path: Path) -> None:
    weights = tmp_path / "weights"
    weights.mkdir()
    write_folder(weights, siglip_config(), siglip_arrays(), tokenizer=tokenizer_json())
    media = tmp_path / "media"
    media.mkdir()
    rng = np.random.default_rng(0)
    for number in range(6):
        Image.fromarray(rng.integers(0, 256, (32, 32, 3), np.uint8)).save(media / f"{number}.png")
    retriever = Retriever.create(tmp_path / "words", frozen_encoder(FrozenSettings(str(weights))))
    retriever.add(jaxret.open_dataset(media))
    text = "a red car turning"
    expected = [hit.item.key for hit in retriever.search_text(text, 6)]
    marks = Feedback((Mark(expected[-1]),), (Mark(expected[0]),))
    moved = [hit.item.key for hit in retriever.search(retriever.refine(retriever.encode(text=text), marks), 6)]
    (programs := tmp_path / "programs").mkdir()
    with running([tmp_path / "words"], programs=programs) as client:
        (index,) = client.get("/api/indexes").json
        assert (index["knows_words"], index["query_kinds"]) == (True, ["image", "video", "text"])
        hits = client.search("words", {"text": text}, k=6).json["hits"]
        assert [hit["key"] for hit in hits] == expected
        again = client.search("words", {"text": text}, plus=[hits[-1]["item"]], minus=[hits[0]["item"]]).json["hits"]
        assert [hit["key"] for hit in again] == moved
        assert expected[0] not in moved
        empty = client.search("words", {"text": " "}).json
        assert empty["error"] == "a text to search with must have words, got ' '"
        compared = {"index": "words", "query": {"text": text}, "item": hits[0]["item"]}
        assert client.post("/api/comparisons", compared).json == {"kind": "images", "box": None}
        picture = client.upload(media / "2.png").json["upload"]
        assert client.search("words", {"upload": picture}, k=1).json["hits"][0]["key"] == "2.png"
        assert isinstance(client.parts.library.indexes["words"].retriever.encoder, KeptEncoder)
    assert list(programs.iterdir()), "what encoded the picture is kept for the next server"
