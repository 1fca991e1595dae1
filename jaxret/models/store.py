"""An encoder as a folder of two files: `encoder.json` (settings) and `weights.safetensors` (numbers only).

An encoder of words has a third one, its tokenizer's (`stored_files`), whose SHA-256 is among the settings.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from safetensors.numpy import save_file

from jaxret.errors import ConfigError, WeightsError, first_of
from jaxret.files import write_atomically
from jaxret.models.encoder_files import FORMAT, SETTINGS, WEIGHTS, check_fingerprint, fingerprint_of, read_encoder
from jaxret.models.registry import create_encoder

__all__ = [
    "encoder_arrays",
    "fingerprint",
    "load_encoder",
    "parameter_count",
    "save_encoder",
    "with_arrays",
]


def encoder_arrays(encoder: nnx.Module) -> dict[str, np.ndarray]:
    """Parameters and running statistics by dotted name, sorted; random streams are left out."""
    named = {name: np.asarray(array) for name, array in _named_variables(encoder)}
    return dict(sorted(named.items()))


def _named_variables(encoder: nnx.Module) -> Iterator[tuple[str, Any]]:
    """The arrays, or their shapes, by dotted name."""
    for path, variable in _variables(encoder):
        (array,) = jax.tree.leaves(variable)  # a variable's own accessors changed names between versions of Flax
        yield ".".join(map(str, path)), array


def _variables(encoder: nnx.Module) -> list[tuple[tuple[Any, ...], Any]]:
    parts: Any = nnx.split(encoder, nnx.RngState, ...)
    return list(nnx.to_flat_state(parts[-1]))


def parameter_count(encoder: nnx.Module) -> int:
    """How many numbers training could change; running statistics are not among them."""
    return sum(leaf.size for leaf in jax.tree.leaves(nnx.state(encoder, nnx.Param)))


def fingerprint(encoder: Any) -> str:
    """SHA-256, in hex, over settings, names, shapes and every byte of the weights.

    Two encoders with one fingerprint give the same vectors on the same machine.
    """
    return fingerprint_of(encoder.config, encoder_arrays(encoder))


def save_encoder(encoder: Any, folder: Path) -> None:
    """Write the encoder into `folder`, replacing one that is there; each file appears whole or not at all."""
    folder.mkdir(parents=True, exist_ok=True)
    arrays = encoder_arrays(encoder)
    settings = {
        "format": FORMAT,
        "fingerprint": fingerprint_of(encoder.config, arrays),
        "encoder": encoder.config,
    }
    with write_atomically(folder / WEIGHTS) as partial:
        save_file({name: np.ascontiguousarray(array) for name, array in arrays.items()}, partial)
    for name, content in getattr(encoder, "stored_files", {}).items():
        with write_atomically(folder / name) as partial:
            partial.write_bytes(content)
    with write_atomically(folder / SETTINGS) as partial:
        partial.write_text(json.dumps(settings, indent=2) + "\n", encoding="utf-8")


def load_encoder(folder: str | Path) -> Any:
    """The encoder that `save_encoder` wrote, in evaluation mode.

    Raises:
      WeightsError: a file is missing, truncated, altered or of a later format; the message names it and lists
        every array that is missing, extra or of another shape.
    """
    folder = Path(folder)
    settings, arrays = read_encoder(folder)
    try:
        encoder = _of_shapes(settings["encoder"], folder)
    except (ConfigError, ValueError, AttributeError) as error:
        hint = "What another package registers is known once its module is imported"
        raise WeightsError(f"{folder / SETTINGS} describes no encoder: {error}. {hint}") from error
    _check(folder / WEIGHTS, dict(_named_variables(encoder)), arrays)
    check_fingerprint(folder, {**settings, "encoder": encoder.config}, arrays)
    return with_arrays(encoder, jax.device_put(arrays))  # `jnp.asarray` would compile a program for every shape


def with_arrays(encoder: Any, arrays: Mapping[str, Any]) -> Any:
    """The encoder with other parameters and running statistics, all of them, by dotted name."""
    parts: Any = nnx.split(encoder, nnx.RngState, ...)
    graph, streams, variables = parts
    placed = [
        (path, variable.replace(arrays[".".join(map(str, path))])) for path, variable in nnx.to_flat_state(variables)
    ]
    return nnx.merge(graph, streams, nnx.from_flat_state(placed))


def _of_shapes(config: Mapping[str, Any], folder: Path) -> Any:
    """An encoder whose weights are shapes alone: those on disk take their places, and no random ones are made first.

    One that needs numbers to be made, of another package perhaps, is made with random weights.
    """
    try:
        encoder = nnx.eval_shape(lambda: create_encoder(config, rngs=nnx.Rngs(0), folder=folder))
    except (ConfigError, ValueError, TypeError, AttributeError):  # tells what is wrong with it, if anything is
        return create_encoder(config, rngs=nnx.Rngs(0), folder=folder)
    nnx.update(encoder, nnx.from_flat_state(_random_streams(encoder)))
    return encoder


def _random_streams(encoder: nnx.Module) -> list[tuple[tuple[Any, ...], Any]]:
    """The random streams of an encoder of shapes at their beginnings, each with a key of its own."""
    shapes = list(nnx.to_flat_state(nnx.state(encoder, nnx.RngState)))
    if not shapes:
        return []
    keys = jax.random.split(jax.random.key(0), len(shapes))
    return [
        (path, variable.replace(keys[n] if isinstance(variable, nnx.RngKey) else jnp.zeros((), jnp.uint32)))
        for n, (path, variable) in enumerate(shapes)
    ]


def _check(path: Path, expected: dict[str, Any], found: dict[str, np.ndarray]) -> None:
    problems = [f"missing {name}" for name in sorted(expected.keys() - found.keys())]
    problems += [f"extra {name}" for name in sorted(found.keys() - expected.keys())]
    problems += [
        f"{name} is {found[name].dtype} {found[name].shape}, not {expected[name].dtype} {expected[name].shape}"
        for name in sorted(expected.keys() & found.keys())
        if (found[name].shape, found[name].dtype) != (expected[name].shape, expected[name].dtype)
    ]
    if problems:
        raise WeightsError(f"{path} does not fit its encoder: {first_of(problems)}")
