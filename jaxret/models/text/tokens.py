"""Text to tokens, by the tokenizer files that are published beside an encoder."""

from __future__ import annotations

import functools
import hashlib
import json
import re
import string
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from jaxret.errors import ConfigError, WeightsError
from jaxret.files import is_there
from jaxret.models.text.byte_pairs import BYTE_PAIR_FILES, byte_pair_tokenizer

__all__ = ["TOKENIZER_FILES", "Cleaning", "Tokenizer", "has_tokenizer", "read_tokenizer"]

Cleaning = Literal["none", "lower", "canonical", "sentence"]
"""What is done to text first: nothing; lower case; lower case, without punctuation, with single spaces; or lower case
with single spaces, also for punctuation, and a full stop at the end."""

_FAST, _PIECES = "tokenizer.json", ("spiece.model", "tokenizer.model")
TOKENIZER_FILES = f"one of {', '.join((_FAST, *_PIECES))} or {' and '.join(BYTE_PAIR_FILES)}"
"""The files of a tokenizer, in words."""

_INSTALL = "the extra text is not installed: pip install 'jaxret[text]'"


class Tokenizer:
    """Texts to rows of tokens, all of one length.

    Args:
      file: its name: `tokenizer.json`, or that of a sentencepiece model.
      content: of the file.
      length: L, tokens of a row; longer texts lose their end, shorter ones are padded on the right.
      padding: the token that fills.
      cleaning: see `Cleaning`.
      marked: whether the tokens that a file puts around a text, such as one at its end, are wanted.
    """

    def __init__(
        self, file: str, content: bytes, *, length: int, padding: int, cleaning: Cleaning, marked: bool = True
    ):
        self.file, self.content = file, content
        self.length, self.padding, self.cleaning, self.marked = length, padding, cleaning, marked

    @property
    def config(self) -> dict[str, Any]:
        """JSON-able settings, with the SHA-256 of the file."""
        config = {
            "file": self.file,
            "sha256": hashlib.sha256(self.content).hexdigest(),
            "length": self.length,
            "padding": self.padding,
            "cleaning": self.cleaning,
        }
        # Left out where it is as before there was a choice: the fingerprint stays.
        return config if self.marked else {**config, "marked": False}

    @classmethod
    def from_folder(cls, folder: Path, config: Mapping[str, Any]) -> Tokenizer:
        """The tokenizer that was stored in a folder with these settings.

        Raises:
          WeightsError: the file is missing or altered.
        """
        path = folder / str(config["file"])
        try:
            content = path.read_bytes()
        except OSError as error:
            raise WeightsError(f"{path}: {error.strerror}") from error
        settings = {name: config[name] for name in ("length", "padding", "cleaning")}
        tokenizer = cls(path.name, content, **settings, marked=bool(config.get("marked", True)))
        if tokenizer.config["sha256"] != config["sha256"]:
            raise WeightsError(f"{path} was altered: it is not the tokenizer of this encoder")
        return tokenizer

    def __call__(self, texts: Sequence[str]) -> npt.NDArray[np.int32]:
        """Tokens int32 (B, L).

        Raises:
          ConfigError: the extra `text` is not installed.
          WeightsError: the file is damaged.
          ValueError: a text is empty.
        """
        rows = np.full((len(texts), self.length), self.padding, np.int32)
        for row, text in zip(rows, texts, strict=True):
            if not text.strip():
                raise ValueError(f"a text to search with must have words, got {text!r}")
            tokens = self._encode(_cleaned(text, self.cleaning))
            row[: len(tokens)] = tokens
        return rows

    @functools.cached_property
    def _encode(self) -> Callable[[str], list[int]]:
        return (_fast if self.file == _FAST else _sentencepiece)(self.content, self.length, self.marked)


def has_tokenizer(folder: Path) -> bool:
    """Whether the files of a tokenizer lie in a folder."""
    return any(is_there(folder / name) for name in (_FAST, *_PIECES)) or _has_byte_pairs(folder)


def _has_byte_pairs(folder: Path) -> bool:
    return all(is_there(folder / name) for name in BYTE_PAIR_FILES)


def read_tokenizer(folder: Path, *, length: int, cleaning: Cleaning, padding: int, marked: bool = True) -> Tokenizer:
    """The tokenizer that lies in a folder as Hugging Face lays it out.

    Args:
      folder: with `tokenizer.json`, a sentencepiece model `spiece.model` or `tokenizer.model`, or CLIP's `vocab.json`
        and `merges.txt`.
      length: tokens of a row.
      cleaning: see `Cleaning`.
      padding: the token that fills, where neither `tokenizer.json` nor `tokenizer_config.json` names it.
      marked: see `Tokenizer`.

    Raises:
      WeightsError: there is none, or it is damaged.
    """
    name = next((name for name in (_FAST, *_PIECES) if is_there(folder / name)), None)
    if name is None and not _has_byte_pairs(folder):
        raise WeightsError(f"{folder} has no tokenizer: {TOKENIZER_FILES} must be there")
    content = byte_pair_tokenizer(folder) if name is None else (folder / name).read_bytes()
    name = name or _FAST
    if name == _FAST:
        padding = _padding(folder, content, padding)
    return Tokenizer(name, content, length=length, padding=padding, cleaning=cleaning, marked=marked)


def _padding(folder: Path, content: bytes, default: int) -> int:
    """The number of the padding token, by its name in `tokenizer_config.json`."""
    try:
        described = json.loads(content)
        numbers = {token["content"]: int(token["id"]) for token in described.get("added_tokens", [])}
        config = folder / "tokenizer_config.json"
        name = json.loads(config.read_text(encoding="utf-8")).get("pad_token") if is_there(config) else None
        name = name.get("content") if isinstance(name, dict) else name
        if name is None and described.get("padding"):
            return int(described["padding"]["pad_id"])
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise WeightsError(f"{folder}: the tokenizer's files are damaged: {error!r}") from error
    return numbers.get(name, default)


def _cleaned(text: str, cleaning: Cleaning) -> str:
    if cleaning == "none":
        return text
    text = text.lower()
    if cleaning == "lower":
        return text
    if cleaning == "sentence":
        spaced = text.translate(str.maketrans(string.punctuation, " " * len(string.punctuation)))
        return " ".join(spaced.split()) + "."
    return re.sub(r"\s+", " ", text.translate(str.maketrans("", "", string.punctuation))).strip()


def _fast(content: bytes, length: int, marked: bool) -> Callable[[str], list[int]]:
    try:
        from tokenizers import Tokenizer as FastTokenizer
    except ImportError:
        raise ConfigError(_INSTALL) from None
    try:
        tokenizer = FastTokenizer.from_str(content.decode())
    except Exception as error:  # the library raises nothing more special
        raise WeightsError(f"{_FAST} is damaged: {error}") from error
    tokenizer.no_padding()
    tokenizer.enable_truncation(length)
    return lambda text: list(tokenizer.encode(text, add_special_tokens=marked).ids)


def _sentencepiece(content: bytes, length: int, marked: bool) -> Callable[[str], list[int]]:
    try:
        from sentencepiece import SentencePieceProcessor
    except ImportError:
        raise ConfigError(_INSTALL) from None
    try:
        pieces = SentencePieceProcessor(model_proto=content)
    except Exception as error:
        raise WeightsError(f"the sentencepiece model is damaged: {error}") from error
    end = [pieces.eos_id()] if marked else []
    return lambda text: [*pieces.encode(text)[: length - len(end)], *end]
