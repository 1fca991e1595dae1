"""The parts of foundation encoders: attention, blocks, positions, and pooling by attention."""

from jaxret.models.transformer.attention import Adapter, Attention, attend, rotate
from jaxret.models.transformer.block import Block, FeedForward
from jaxret.models.transformer.pooling import AttentionPooling, NormedPooling
from jaxret.models.transformer.positions import resized_grid, rotary_angles
from jaxret.models.transformer.stack import run_blocks

__all__ = [
    "Adapter",
    "Attention",
    "AttentionPooling",
    "Block",
    "FeedForward",
    "NormedPooling",
    "attend",
    "resized_grid",
    "rotary_angles",
    "rotate",
    "run_blocks",
]
