"""Text to tokens, by the tokenizer files that are published beside an encoder."""

from __future__ import annotations

import dataclasses
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

__all__ = [
    "BYTE_PAIRS",
    "SENTENCE_PIECES",
    "Cleaning",
    "Tokenizer",
    "TokenizerFiles",
    "has_tokenizer",
    "read_tokenizer",
    "tokenizer_files",
]

Cleaning = Literal["none", "lower", "canonical", "sentence"]
"""What is done to text first: nothing; lower case; lower case, without punctuation, with single spaces; or lower case
with single spaces, also for punctuation, and a full stop at the end."""

_FAST = "tokenizer.json"
TokenizerFiles = tuple[tuple[str, ...], ...]
"""The files that a tokenizer may lie in, the one taken first before the others; several where it takes all of them."""

SENTENCE_PIECES: TokenizerFiles = ((_FAST,), ("spiece.model",), ("tokenizer.model",))
BYTE_PAIRS: TokenizerFiles = ((_FAST,), BYTE_PAIR_FILES)

_SPARE = 1 / 8  # of a tower's tokens: many are padded to a round number, and files name some that no tower was taught
_INSTALL = "the extra text is not installed: pip install 'jaxret[text]'"


@dataclasses.dataclass(frozen=True)
class _Opened:
    """A tokenizer's file, read: texts to tokens, and the number behind its last token."""

    encode: Callable[[str], list[int]]
    size: int


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

    def __call__(
        self, texts: Sequence[str], *, vocabulary: int | None = None, end: int | None = None
    ) -> npt.NDArray[np.int32]:
        """Tokens int32 (B, L).

        Args:
          texts: B of them.
          vocabulary: the tokens that a tower of words knows, about as many as a tokenizer of its own; None: how many is
            not looked at.
          end: the token at which that tower looks, which each text must have before it is padded; None: there is none.

        Raises:
          ConfigError: the extra `text` is not installed.
          WeightsError: the file is damaged, or gives tokens that the tower does not take.
          ValueError: a text is empty.
        """
        rows = np.full((len(texts), self.length), self.padding, np.int32)
        foreign = f"{self.file} is not the tokenizer of this tower of words"
        for row, text in zip(rows, texts, strict=True):
            if not text.strip():
                raise ValueError(f"a text to search with must have words, got {text!r}")
            tokens = self._opened.encode(_cleaned(text, self.cleaning))
            given = f"{foreign}: it gives {text!r}"
            if vocabulary is not None and max(tokens, default=0) >= vocabulary:
                raise WeightsError(f"{given} the token {max(tokens)}, and the tower has {vocabulary}")
            if end is not None and end not in tokens:
                raise WeightsError(f"{given} no token {end}, the end that the tower looks at")
            row[: len(tokens)] = tokens
        if vocabulary is not None and abs(self._opened.size - vocabulary) > _SPARE * vocabulary:
            raise WeightsError(f"{foreign}: it has {self._opened.size} tokens, the tower {vocabulary}")
        return rows

    @functools.cached_property
    def _opened(self) -> _Opened:
        return (_fast if self.file == _FAST else _sentencepiece)(self.content, self.length, self.marked)


def tokenizer_files(files: TokenizerFiles) -> str:
    """The files of a tokenizer, in words.

    Example:
      >>> tokenizer_files(BYTE_PAIRS)
      'tokenizer.json or vocab.json and merges.txt'
    """
    return " or ".join(" and ".join(names) for names in files)


def has_tokenizer(folder: Path, files: TokenizerFiles) -> bool:
    """Whether a tokenizer lies in a folder in one of these ways."""
    return _found(folder, files) is not None


def _found(folder: Path, files: TokenizerFiles) -> tuple[str, ...] | None:
    return next((names for names in files if all(is_there(folder / name) for name in names)), None)


def read_tokenizer(
    folder: Path, files: TokenizerFiles, *, length: int, cleaning: Cleaning, padding: int, marked: bool = True
) -> Tokenizer:
    """The tokenizer that lies in a folder as Hugging Face lays it out.

    Args:
      folder: with the files; those of other tokenizers, which may lie there for other encoders, are not looked at.
      files: `SENTENCE_PIECES` or `BYTE_PAIRS`.
      length: tokens of a row.
      cleaning: see `Cleaning`.
      padding: the token that fills, where neither `tokenizer.json` nor `tokenizer_config.json` names it.
      marked: see `Tokenizer`.

    Raises:
      WeightsError: there is none, or it is damaged.
    """
    names = _found(folder, files)
    if names is None:
        raise WeightsError(f"{folder} has no tokenizer: {tokenizer_files(files)} must be there")
    paired = names == BYTE_PAIR_FILES
    name, content = (_FAST, byte_pair_tokenizer(folder)) if paired else (names[0], (folder / names[0]).read_bytes())
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


def _fast(content: bytes, length: int, marked: bool) -> _Opened:
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
    size = 1 + max(tokenizer.get_vocab().values(), default=-1)
    return _Opened(lambda text: list(tokenizer.encode(text, add_special_tokens=marked).ids), size)


def _sentencepiece(content: bytes, length: int, marked: bool) -> _Opened:
    try:
        from sentencepiece import SentencePieceProcessor
    except ImportError:
        raise ConfigError(_INSTALL) from None
    try:
        pieces = SentencePieceProcessor(model_proto=content)
    except Exception as error:
        raise WeightsError(f"the sentencepiece model is damaged: {error}") from error
    end = [pieces.eos_id()] if marked else []
    return _Opened(lambda text: [*pieces.encode(text)[: length - len(end)], *end], pieces.get_piece_size())
