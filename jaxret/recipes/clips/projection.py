"""Principal components of a trained encoder's clip vectors, put behind it."""

from __future__ import annotations

from collections.abc import Mapping

from jaxret.models import ProjectedEncoder
from jaxret.models.encoder import VideoEncoder
from jaxret.retrieval.encode import FrameVectors, clip_rows
from jaxret.training.pca import fit_pca

__all__ = ["project_clips", "without_projection"]


def project_clips(
    encoder: VideoEncoder, media: Mapping[int, FrameVectors], *, variance: float, whiten: bool
) -> tuple[VideoEncoder, str]:
    """The encoder with a projection of its clip vectors to their principal components.

    Args:
      encoder: trained, without codes; it is left as it is, and its parts are shared.
      media: frame vectors of what the components are fitted on, by item index; images do not count.
      variance: share of the variance to keep, above 0 and up to 1.
      whiten: scale the components to the same variance.

    Returns:
      The projecting encoder, and a line for people that tells what was kept.

    Raises:
      ConfigError: there are too few clips, or they do not vary.
    """
    clips = clip_rows(media, encoder).vectors
    fitted = fit_pca(clips, variance=variance, whiten=whiten)
    size = fitted.components.shape[1]
    sequence = ProjectedEncoder(encoder.temporal, size)
    sequence.projection.assign(fitted.mean, fitted.components)
    sequence.eval()
    line = (
        f"PCA: {size} of {encoder.clip_embedding_size} dimensions keep {fitted.kept:.1%} of the variance of "
        f"{len(clips)} clips of the training split{', whitened' if whiten else ''}"
    )
    return encoder.with_temporal(sequence), line


def without_projection(encoder: VideoEncoder) -> VideoEncoder | None:
    """The encoder without the projection of its clip vectors, or None where it has none."""
    if not isinstance(encoder.temporal, ProjectedEncoder):
        return None
    return encoder.with_temporal(encoder.temporal.encoder)
