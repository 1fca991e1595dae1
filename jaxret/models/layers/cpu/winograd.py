"""3 x 3 convolutions by Winograd's minimal filtering, F(4 x 4, 3 x 3): a quarter of the multiplications.

Lavin and Gray 2016, "Fast Algorithms for Convolutional Neural Networks", arXiv:1509.09308. Images are cut into tiles
of 4 x 4 places. What a tile sees, 6 x 6 places, the kernel, and the outputs are related by linear transforms

    Y = A' [(G K G') . (B' X B)] A

in which the product of the middle is, at each of 36 points, one of matrices over the channels. The two-sided transforms
of a tile are written as one matrix (B' (x) B' of 36 x 36 and so on) that multiplies the tiles' places, so that all of
the work is in matrix products, which are what XLA computes well on a CPU. The transforms amplify rounding: in float32
the result is some ten times less exact than the direct sum, 1e-5 of the largest output.

Maps are kept tile by tile: (4, 4, B, H/4, W/4, C), places inside a tile first. Pointwise functions do not care, and
neighbours are whole slices.

A convolution over time as well is a sum over its offsets in time, which is part of the product over the channels.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from jaxret.models.layers.cpu.conv3d import block_of_frames, largest_divisor

__all__ = [
    "TILE",
    "adjoint_of_kernel",
    "adjoint_of_seen",
    "from_tiles",
    "outputs_of",
    "point_products",
    "points_of_gradient",
    "points_of_kernel",
    "points_seen",
    "tiles_of",
    "volume_convolution",
    "worth_tiles",
]

TILE = 4
"""Places of a tile along each axis."""

# Tiles of a batch and channels from which on a volume's convolution is faster so: the kernel's points are four times
# its size, and the transforms cost the same for each channel.
_LEAST_TILES, _LEAST_CHANNELS = 256, 32
# Tiles that it works on at a time.
_TILES_OF_BLOCK = 800

# Lavin and Gray's matrices of F(4, 3), for the interpolation points 0, 1, -1, 2, -2 and infinity.
_B = np.array(
    [
        [4, 0, -5, 0, 1, 0],
        [0, -4, -4, 1, 1, 0],
        [0, 4, -4, -1, 1, 0],
        [0, -2, -1, 2, 1, 0],
        [0, 2, -1, -2, 1, 0],
        [0, 4, 0, -5, 0, 1],
    ]
)
_G = np.array([[6, 0, 0], [-4, -4, -4], [-4, 4, -4], [1, 2, 4], [1, -2, 4], [0, 0, 24]]) / 24
_A = np.array([[1, 1, 1, 1, 1, 0], [0, 1, -1, 2, -2, 0], [0, 1, 1, 4, 4, 0], [0, 1, -1, 8, -8, 1]])
_SEEN, _KERNEL, _OUTPUTS = (np.kron(matrix, matrix).astype(np.float32) for matrix in (_B, _G, _A))


def tiles_of(maps: jax.Array) -> jax.Array:
    """Maps (B, H, W, C) of whole tiles as (4, 4, B, H/4, W/4, C)."""
    batch, height, width, channels = maps.shape
    tiles = maps.reshape(batch, height // TILE, TILE, width // TILE, TILE, channels)
    return tiles.transpose(2, 4, 0, 1, 3, 5)


def from_tiles(tiles: jax.Array) -> jax.Array:
    """The inverse of `tiles_of`."""
    _, _, batch, rows, columns, channels = tiles.shape
    return tiles.transpose(2, 3, 0, 4, 1, 5).reshape(batch, rows * TILE, columns * TILE, channels)


def points_of_kernel(kernel: jax.Array) -> jax.Array:
    """G K G': a kernel (3, 3, M, N) at the 36 points, (36, M, N).

    Example:
      >>> points_of_kernel(jnp.ones((3, 3, 5, 7))).shape
      (36, 5, 7)

    Raises:
      TypeError: the kernel is not float32.
    """
    if kernel.dtype != jnp.float32:
        raise TypeError(f"minimal filtering is done in float32, got {kernel.dtype}: it amplifies rounding")
    return jnp.matmul(_KERNEL, kernel.reshape(9, -1)).reshape(36, *kernel.shape[2:])


def adjoint_of_kernel(points: jax.Array) -> jax.Array:
    """The adjoint of `points_of_kernel`: (36, ...) to (3, 3, ...)."""
    return jnp.matmul(_KERNEL.T, points.reshape(36, -1)).reshape(3, 3, *points.shape[1:])


def points_seen(tiles: jax.Array) -> jax.Array:
    """B' X B: what tiles (4, 4, B, n, m, C) see, zeros outside the image, at the 36 points, (36, B n m, C)."""
    seen = _with_neighbours(_with_neighbours(tiles, 0, 3), 1, 4)
    return jnp.matmul(_SEEN, seen.reshape(36, -1)).reshape(36, -1, tiles.shape[-1])


def adjoint_of_seen(points: jax.Array, shape: Sequence[int]) -> jax.Array:
    """The adjoint of `points_seen`: (36, B n m, C) to tiles of that shape, (4, 4, B, n, m, C)."""
    seen = jnp.matmul(_SEEN.T, points.reshape(36, -1)).reshape(6, 6, *shape[2:])
    return _into_neighbours(_into_neighbours(seen, 1, 4), 0, 3)


def outputs_of(points: jax.Array, shape: Sequence[int]) -> jax.Array:
    """A' M A: products (36, B n m, C) at the points to tiles of outputs of that shape, (4, 4, B, n, m, C)."""
    return jnp.matmul(_OUTPUTS, points.reshape(36, -1)).reshape(*shape)


def points_of_gradient(tiles: jax.Array) -> jax.Array:
    """The adjoint of `outputs_of`: (4, 4, B, n, m, C) to (36, B n m, C)."""
    return jnp.matmul(_OUTPUTS.T, tiles.reshape(16, -1)).reshape(36, -1, tiles.shape[-1])


def point_products(left: jax.Array, right: jax.Array, *, axes: tuple[int, int]) -> jax.Array:
    """At each of 36 points the product of two matrices, summed over those axes of `left` and `right` (1 or 2)."""
    return lax.dot_general(left, right, (((axes[0],), (axes[1],)), ((0,), (0,))))


def _with_neighbours(tiles: jax.Array, places: int, neighbours: int) -> jax.Array:
    """Along an axis of places inside a tile 6 instead of 4: with the last before and the first after."""
    last, first = (lax.slice_in_dim(tiles, place, place + 1, axis=places) for place in (3, 0))
    return jnp.concatenate([_shift(last, neighbours, 1), tiles, _shift(first, neighbours, -1)], axis=places)


def _into_neighbours(seen: jax.Array, places: int, neighbours: int) -> jax.Array:
    """The adjoint of `_with_neighbours`."""
    before, first, middle, last, after = (
        lax.slice_in_dim(seen, start, stop, axis=places) for start, stop in ((0, 1), (1, 2), (2, 4), (4, 5), (5, 6))
    )
    first, last = first + _shift(after, neighbours, 1), last + _shift(before, neighbours, -1)
    return jnp.concatenate([first, middle, last], axis=places)


def _shift(tiles: jax.Array, axis: int, by: int) -> jax.Array:
    """Entry i goes to i + by, zeros come in."""
    pads = [(0, 0, 0)] * tiles.ndim
    pads[axis] = (by, -by, 0)
    return lax.pad(tiles, jnp.zeros((), tiles.dtype), pads)


def worth_tiles(
    inputs: jax.Array, kernel: jax.Array, strides: tuple[int, ...], pads: tuple[tuple[int, int], ...]
) -> bool:
    """Whether `volume_convolution` computes this convolution, and faster than the sum over offsets."""
    wide, *window, _, _ = kernel.shape
    if window != [3, 3] or wide % 2 == 0 or inputs.dtype != jnp.float32 or set(strides) != {1}:
        return False
    if min(kernel.shape[-2:]) < _LEAST_CHANNELS:
        return False
    same = pads == ((wide // 2, wide // 2), (1, 1), (1, 1))
    batch, frames, height, width, _ = inputs.shape
    return same and batch * frames * -(-height // TILE) * -(-width // TILE) >= _LEAST_TILES


@jax.custom_vjp
def volume_convolution(inputs: jax.Array, kernel: jax.Array) -> jax.Array:
    """A dense convolution over time and images with stride 1 and "SAME" padding; reverse-mode differentiable.

    Args:
      inputs: (B, T, H, W, C_in) float32.
      kernel: (odd, 3, 3, C_in, C_out) float32.

    Returns:
      (B, T, H, W, C_out).

    Example:
      >>> outputs = volume_convolution(jnp.ones((1, 3, 4, 8, 2)), jnp.ones((3, 3, 3, 2, 1)))
      >>> outputs.shape, [round(float(value)) for value in outputs[0, :, 0, 0, 0]]
      ((1, 3, 4, 8, 1), [16, 24, 16])
    """
    wide, *_, out_channels = kernel.shape
    blocks = _Blocks(inputs.shape, wide // 2)
    padded = blocks.with_margins(inputs)
    prepared = points_of_kernel(jnp.moveaxis(kernel, 0, 2).reshape(3, 3, -1, out_channels))  # (36, wide C_in, C_out)

    def outputs_of_block(start: tuple[jax.Array, ...]) -> jax.Array:
        seen = blocks.joined(points_seen(tiles_of(blocks.part(padded, start))), range(wide))
        products = point_products(seen, prepared, axes=(2, 1))
        return from_tiles(outputs_of(products, blocks.shape_of_tiles(out_channels)))

    return blocks.together(lax.map(outputs_of_block, blocks.starts))


def _forward(inputs: jax.Array, kernel: jax.Array) -> tuple[jax.Array, tuple[jax.Array, jax.Array]]:
    return volume_convolution(inputs, kernel), (inputs, kernel)


def _backward(saved: tuple[jax.Array, jax.Array], gradient: jax.Array) -> tuple[jax.Array, jax.Array]:
    inputs, kernel = saved
    wide, *_, channels, out_channels = kernel.shape
    blocks = _Blocks(inputs.shape, wide // 2)
    padded, upstream = blocks.with_margins(inputs), blocks.with_margins(gradient)
    turned = kernel.transpose(1, 2, 0, 4, 3).reshape(3, 3, -1, channels)
    prepared = points_of_kernel(turned)  # (36, wide C_out, C_in)

    def add_block(total: jax.Array, start: tuple[jax.Array, ...]) -> tuple[jax.Array, jax.Array]:
        pulled = points_of_gradient(tiles_of(blocks.part(upstream, start)))
        pulled = blocks.joined(pulled, range(wide - 1, -1, -1))  # offset a of the kernel saw frame t in output t - a
        products = point_products(pulled, prepared, axes=(2, 1))
        of_inputs = from_tiles(adjoint_of_seen(products, blocks.shape_of_tiles(channels)))
        seen = points_seen(tiles_of(blocks.part(padded, start, margin=False)))
        seen, pulled = (each.reshape(36, blocks.parts, -1, each.shape[-1]) for each in (seen, pulled))
        return total + lax.dot_general(seen, pulled, (((2,), (2,)), ((0, 1), (0, 1)))), of_inputs

    nothing = jnp.zeros((36, blocks.parts, channels, wide * out_channels), jnp.float32)
    total, of_inputs = lax.scan(add_block, nothing, blocks.starts)
    of_kernel = adjoint_of_kernel(total).sum(axis=2).reshape(3, 3, channels, wide, out_channels)
    return blocks.together(of_inputs), jnp.moveaxis(of_kernel, 3, 0)


volume_convolution.defvjp(_forward, _backward)


class _Blocks:
    """How the frames of clips are worked on some at a time, so that what they become stays in cache.

    Args:
      shape: (B, T, H, W, C) of the clips.
      margin: frames before and after those of a block that its convolution sees.

    Attributes:
      parts: shares of a block whose gradients of the kernel are summed up apart until the loop has ended: one for each
        of the devices that clips are spread over, or they would add up theirs in every block.
    """

    def __init__(self, shape: tuple[int, ...], margin: int):
        self.batch, self.frames, *self.sizes, _ = shape
        self.margin = margin
        self.grid = [-(-size // TILE) for size in self.sizes]
        most = max(1, _TILES_OF_BLOCK // math.prod(self.grid))
        self.clips, self.count = block_of_frames(self.batch, self.frames, most)
        self.parts = 1
        devices = jax.device_count()
        if devices > 1 and self.batch % devices == 0:  # each has its share of a block: some clips would be gathered
            self.clips, self.count = self.batch, largest_divisor(self.frames, max(1, most * devices // self.batch))
            self.parts = devices
        starts = jnp.arange(0, self.batch, self.clips), jnp.arange(0, self.frames, self.count)
        self.starts = tuple(each.ravel() for each in jnp.meshgrid(*starts, indexing="ij"))

    def shape_of_tiles(self, channels: int) -> tuple[int, ...]:
        """Of a block."""
        return (TILE, TILE, self.clips * self.count, *self.grid, channels)

    def with_margins(self, maps: jax.Array) -> jax.Array:
        """Zeros before and after the clips (B, T, H, W, C), and around them up to whole tiles."""
        ends = [(0, -size % TILE) for size in self.sizes]
        return jnp.pad(maps, ((0, 0), (self.margin, self.margin), *ends, (0, 0)))

    def part(self, padded: jax.Array, start: tuple[jax.Array, ...], *, margin: bool = True) -> jax.Array:
        """The frames of a block, with their margin or without: (B' T', H, W, C)."""
        clip, frame = start
        count = self.count + 2 * self.margin if margin else self.count
        part = lax.dynamic_slice_in_dim(padded, clip, self.clips, axis=0)
        part = lax.dynamic_slice_in_dim(part, frame if margin else frame + self.margin, count, axis=1)
        return part.reshape(-1, *part.shape[2:])

    def joined(self, points: jax.Array, offsets: Iterable[int]) -> jax.Array:
        """Points (36, B' (T' + margins) n m, C) of a block, those at k offsets side by side: (36, B' T' n m, k C)."""
        every = points.reshape(36, self.clips, self.count + 2 * self.margin, -1, points.shape[-1])
        chosen = [lax.slice_in_dim(every, offset, offset + self.count, axis=2) for offset in offsets]
        joined = jnp.concatenate(chosen, axis=-1)
        return joined.reshape(36, -1, joined.shape[-1])

    def together(self, blocks: jax.Array) -> jax.Array:
        """Maps (blocks, B' T', H, W, C) as clips (B, T, H, W, C) without what was added to them."""
        *_, height, width, channels = blocks.shape
        parts = blocks.reshape(-1, self.frames // self.count, self.clips, self.count, height, width, channels)
        clips = jnp.swapaxes(parts, 1, 2).reshape(self.batch, self.frames, height, width, channels)
        return clips[:, :, : self.sizes[0], : self.sizes[1]]
