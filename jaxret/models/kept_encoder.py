"""An encoder of whole images and clips, opened to encode queries: by programs that are kept, without Flax."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jax
import numpy as np
from jax.typing import ArrayLike

from jaxret.models.encoder_files import check_fingerprint, read_encoder, read_settings
from jaxret.models.kept_programs import KeptPrograms, Program, lower
from jaxret.preprocessing import Preprocessing

if TYPE_CHECKING:
    from jaxret.models.encoder import VideoEncoder

__all__ = ["KeptEncoder", "can_be_kept"]

_KINDS = ("frames-then-sequence", "images-and-text")
_FACTS = ("packing", "unit", "frame_embedding_size", "clip_embedding_size", "code_bits")


def can_be_kept(folder: Path) -> bool:
    """Whether a stored encoder can be opened as a `KeptEncoder`: one of whole images and clips, on a CPU.

    Raises:
      WeightsError: as `read_settings`.
    """
    return read_settings(folder)["encoder"].get("kind") in _KINDS and jax.default_backend() == "cpu"


class KeptEncoder:
    """A stored `VideoEncoder` whose programs are kept from one process to the next.

    What is kept is run, with the stored weights; what is not is lowered from the encoder itself, and kept from then on.
    Attributes and methods beside those below are the encoder's own, which is loaded when one is needed. The vectors
    are the same to the last bit.

    Args:
      folder: of the encoder, see `can_be_kept`.
      programs: where they are kept.

    Attributes:
      kind, config, preprocessing, fingerprint: of the encoder.

    Raises:
      WeightsError: a file is missing, truncated, altered or of a later format.
    """

    def __init__(self, folder: Path, programs: KeptPrograms):
        settings, arrays = read_encoder(folder)
        check_fingerprint(folder, settings, arrays)
        self._folder, self._programs = folder, programs
        self._shapes = sorted((name, array.dtype.str, array.shape) for name, array in arrays.items())
        self._arrays = jax.device_put(arrays)
        self._found: dict[Any, Program | None] = {}
        self.config: dict[str, Any] = settings["encoder"]
        self.fingerprint: str = settings["fingerprint"]
        self.kind: str = self.config["kind"]
        self.preprocessing = Preprocessing.from_json(self.config["preprocessing"])

    def __getattr__(self, name: str) -> Any:
        return self._facts[name] if name in _FACTS else getattr(self._whole, name)

    def encode_frames(self, frames: ArrayLike) -> jax.Array:
        """As `VideoEncoder.encode_frames`."""
        packing = self._facts["packing"]
        if packing is None:
            return self._encoded("encode_frames", frames)
        from jaxret.models.transformer.packed import PackedPatches  # brings Flax

        packed = PackedPatches.of_images(frames, *packing)
        return self._encoded("encode_packed", packed.pixels, packed.grids)

    def encode_clips_from_frame_vectors(self, vectors: ArrayLike, lengths: ArrayLike | None = None) -> jax.Array:
        """As `VideoEncoder.encode_clips_from_frame_vectors`."""
        counted = () if lengths is None else (lengths,)
        return self._encoded("encode_clips_from_frame_vectors", vectors, *counted)

    @functools.cached_property
    def _whole(self) -> VideoEncoder:
        from jaxret.models.store import load_encoder  # brings Flax

        encoder: VideoEncoder = load_encoder(self._folder)
        return encoder

    @functools.cached_property
    def _facts(self) -> dict[str, Any]:
        key = ["facts", self.config]
        found = self._programs.facts(key)
        if found is None:
            found = {name: getattr(self._whole, name) for name in _FACTS}
            if self._is_ours:
                self._programs.keep_facts(key, found)
        return found

    def _encoded(self, method: str, *arguments: ArrayLike) -> jax.Array:
        """The method's result, by a program for arguments of these shapes."""
        given = [np.asarray(argument) for argument in arguments]
        key = [method, self.config, self._shapes, [[array.dtype.str, array.shape] for array in given]]
        known = (method, *((array.dtype, array.shape) for array in given))
        if known not in self._found:
            self._found[known] = self._programs.program_or(key, lambda: self._lowered(method, *given))
        program = self._found[known]
        result: jax.Array = getattr(self._whole, method)(*given) if program is None else program(self._arrays, *given)
        return result

    def _lowered(self, method: str, *arguments: np.ndarray) -> Program | None:
        """The program of a method; None where the encoder must run it itself."""
        if not self._is_ours:
            return None
        from jaxret.models.store import with_arrays

        def apply(arrays: dict[str, Any], *given: Any) -> Any:
            return getattr(with_arrays(self._whole, arrays), method)(*given)

        return lower(apply, self._arrays, *arguments)

    @functools.cached_property
    def _is_ours(self) -> bool:
        """Whether all its parts are of this package, whose sources are part of every key."""
        from jaxret.models.kept_function import parts_are_ours  # brings Flax

        return parts_are_ours(self._whole)
