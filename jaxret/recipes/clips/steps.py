"""Training a clip encoder by steps: what is read, what is trained, and by what its epochs are told apart."""

from __future__ import annotations

from flax import nnx

from jaxret.models.encoder import VideoEncoder
from jaxret.recipes.clip_media import Mode, clip_reader, embed_items, evaluate_items
from jaxret.recipes.clip_settings import ClipTrainingConfig
from jaxret.recipes.clips.features import FrozenFeatures
from jaxret.recipes.clips.fit import ClassifierTask, fit_classifier
from jaxret.recipes.opening import LabelledData, augmentation_of
from jaxret.training import FitResult, RunContext, Validation

__all__ = ["fit_by_steps"]


def fit_by_steps(
    encoder: VideoEncoder,
    data: LabelledData,
    features: FrozenFeatures | None,
    mode: Mode,
    config: ClipTrainingConfig,
    context: RunContext,
) -> FitResult:
    """Train on labelled clips, from the run's last checkpoint if it has one, and leave the best weights in the encoder.

    Args:
      encoder: what is trained of it is told by `mode`.
      data: what it is trained and validated on.
      features: frame vectors, for the mode features.
      mode: whether its clip half is trained on frame vectors, all of it on clips, or its backbone on images.
      config: resolved settings.
      context: the run.

    Raises:
      ConfigError: see `jaxret.recipes.clips.fit.fit_classifier`.
    """
    dataset, splits = data.dataset, data.splits
    class_of = {label: index for index, label in enumerate(splits.seen)}
    # Images among videos are indexed, not trained on; videos that do not read are left out.
    indices = [
        int(n)
        for n in splits.train
        if mode == "images" or (dataset.items[n].kind == "video" and (features is None or int(n) in features))
    ]
    labels = [class_of[str(dataset.items[n].label)] for n in indices]
    if features is not None:
        read = features.reader(indices, labels)
    else:
        augment = augmentation_of(config, dataset)
        read = clip_reader(dataset, encoder, indices, labels, augment, single_frames=mode == "images")

    def evaluate() -> dict[str, float]:
        media = (
            features.frame_vectors(splits.validation)
            if features is not None
            else embed_items(dataset, encoder, splits.validation.tolist(), threads=config.threads)[0]
        )
        metrics = evaluate_items(dataset, media, encoder).get("all", {}) if media else {}
        return {f"validation {name}": metrics[name] for name in ("mAP", "P@1") if name in metrics}

    part: nnx.Module = {"features": encoder.temporal, "clips": encoder, "images": encoder.backbone}[mode]
    task = ClassifierTask(
        part,
        encoder.frame_embedding_size if mode == "images" else encoder.clip_embedding_size,
        read,
        labels,
        Validation(evaluate),
        decoding=features is None,
        name_of=lambda row: dataset.items[indices[row]].key,
    )
    return fit_classifier(task, config, context)
