"""Blocks one after another."""

from __future__ import annotations

from collections.abc import Sequence

import jax

from jaxret.models.layers.dispatch import map_groups
from jaxret.models.transformer.block import Block

__all__ = ["run_blocks"]

# A product reads what the one before it wrote, logits or the units of the MLP: from the cache of a CPU where a group of
# images has no more numbers than these, 16 MB of float32, and else from memory, which costs more than large
# products gain.
_MOST_NUMBERS = 1 << 22


def run_blocks(
    blocks: Sequence[Block],
    x: jax.Array,
    *,
    angles: jax.Array | None = None,
    mask: jax.Array | None = None,
    checkpoint: bool = False,
) -> list[jax.Array]:
    """Tokens through blocks; on the CPU, where it is faster, some rows at a time through all of them.

    In training, what the gradients need would be copied out of every group, unless it is computed anew.

    Args:
      blocks: of one shape.
      x: (B, T, D).
      angles: as in `jaxret.models.transformer.Attention`, of all rows.
      mask: the same; (B, ...), or (1, ...) of all rows.
      checkpoint: in training keep what is between blocks alone, and compute the rest twice.

    Returns:
      What is after each block, (B, T, D); nothing where there are none.

    Example:
      >>> import jax.numpy as jnp
      >>> from flax import nnx
      >>> blocks = [Block(16, 4, 32, rngs=nnx.Rngs(0)) for _ in range(3)]
      >>> [after.shape for after in run_blocks(blocks, jnp.ones((2, 5, 16)))]
      [(2, 5, 16), (2, 5, 16), (2, 5, 16)]
    """
    if not len(blocks):
        return []
    run = jax.checkpoint(_run) if checkpoint else _run
    shared, own = (mask, None) if mask is None or len(mask) == 1 else (None, mask)

    def through(some: tuple[jax.Array, jax.Array | None]) -> list[jax.Array]:
        x, own = some
        after = []
        for block in blocks:
            x = run(block, x, angles, shared if own is None else own)
            after.append(x)
        return after

    at_once = not blocks[0].deterministic and not checkpoint
    return map_groups(through, (x, own), len(x) if at_once else _rows_at_a_time(blocks[0], x.shape[1]))


def _run(block: Block, x: jax.Array, angles: jax.Array | None, mask: jax.Array | None) -> jax.Array:
    return block(x, angles=angles, mask=mask)


def _rows_at_a_time(block: Block, tokens: int) -> int:
    between = tokens * (block.mlp.widen.out_features + block.attention.heads * tokens)
    return max(1, _MOST_NUMBERS // max(1, between))
