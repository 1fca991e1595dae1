"""CLIP's byte-pair vocabulary (`vocab.json` and `merges.txt`) as the one file that `tokenizers` reads."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from jaxret.errors import WeightsError

__all__ = ["BYTE_PAIR_FILES", "byte_pair_tokenizer"]

BYTE_PAIR_FILES = ("vocab.json", "merges.txt")

_START, _END = "<|startoftext|>", "<|endoftext|>"
_WORDS = r"'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+"


def byte_pair_tokenizer(folder: Path) -> bytes:
    """The content of a `tokenizer.json` for the vocabulary in a folder: text in lower case with single spaces is split
    into words, numbers and signs, and these into byte pairs (Sennrich et al. 2016, arXiv:1508.07909) between the tokens
    of start and end, as CLIP does it (Radford et al. 2021, arXiv:2103.00020).

    Raises:
      WeightsError: a file is damaged, or lacks the tokens of start and end.
    """
    vocabulary, merges = _read(folder)
    for token in (_START, _END):
        if token not in vocabulary:
            raise WeightsError(f"{folder / 'vocab.json'} has no token {token}: it is no vocabulary of CLIP")
    special = [
        {"id": vocabulary[token], "content": token, "special": True, "single_word": False, "lstrip": False,
         "rstrip": False, "normalized": False}
        for token in (_START, _END)
    ]  # fmt: skip
    described = {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": special,
        "normalizer": {
            "type": "Sequence",
            "normalizers": [
                {"type": "NFC"},
                {"type": "Replace", "pattern": {"Regex": r"\s+"}, "content": " "},
                {"type": "Lowercase"},
            ],
        },
        "pre_tokenizer": {
            "type": "Sequence",
            "pretokenizers": [
                {"type": "Split", "pattern": {"Regex": _WORDS}, "behavior": "Removed", "invert": True},
                {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True},
            ],
        },
        "post_processor": {
            "type": "RobertaProcessing",
            "sep": [_END, vocabulary[_END]],
            "cls": [_START, vocabulary[_START]],
            "trim_offsets": False,
            "add_prefix_space": False,
        },
        "decoder": None,
        "model": {
            "type": "BPE",
            "dropout": None,
            "unk_token": _END,
            "continuing_subword_prefix": "",
            "end_of_word_suffix": "</w>",
            "fuse_unk": False,
            "byte_fallback": False,
            "vocab": vocabulary,
            "merges": merges,
        },
    }
    return json.dumps(described).encode()


def _read(folder: Path) -> tuple[dict[str, int], list[str]]:
    names = [folder / name for name in BYTE_PAIR_FILES]
    try:
        vocabulary: Any = json.loads(names[0].read_text(encoding="utf-8"))
        lines = names[1].read_text(encoding="utf-8").splitlines()
    except (OSError, ValueError) as error:
        raise WeightsError(f"{folder}: the tokenizer's files are damaged: {error}") from error
    if not isinstance(vocabulary, dict) or not all(type(number) is int for number in vocabulary.values()):
        raise WeightsError(f"{names[0]} is damaged: it gives no numbers to tokens")
    merges = [line for line in lines if line.strip() and not line.startswith("#version")]
    if any(len(line.split(" ")) != 2 for line in merges):
        raise WeightsError(f"{names[1]} is damaged: a line must hold two parts of a token")
    return vocabulary, merges
