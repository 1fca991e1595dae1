"""`python -m jaxret.build_index MEDIA INDEX --encoder RUN`: put images and videos into an index."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from jaxret.cli.run import index_folder, run_command
from jaxret.errors import ConfigError

DESCRIPTION = """Embed a folder of images and videos (or a CSV, tfds:NAME, a single file) and add it to an index.

An index that exists is extended: items that are in it already are left alone, so a stopped call can simply be
repeated. Files that cannot be read are skipped and listed."""


def main(argv: Sequence[str]) -> int:
    """Parse, embed, add, print."""
    parser = argparse.ArgumentParser(
        "jaxret index", description=DESCRIPTION, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("media", help="folder, CSV, tfds:NAME, moving-digits, or one media file")
    parser.add_argument(
        "index", type=Path, help="index folder, made if it does not exist, or a run folder that holds one"
    )
    parser.add_argument(
        "--encoder",
        type=Path,
        help="a run folder, an encoder folder or another index: whose encoder a new index gets",
    )
    parser.add_argument(
        "--remove", action="store_true", help="remove the media's items from the index instead of adding them"
    )
    parser.add_argument("--compact", action="store_true", help="afterwards rewrite the index as one segment")
    parser.add_argument(
        "--without-frames",
        action="store_true",
        help="with an encoder of shots, for a new index: keep shots alone, a tenth of the size; a picture then finds "
        "shots, but not the moment in them",
    )
    parser.add_argument("--threads", type=int, default=2, metavar="N", help="files decoded at once (default 2)")
    parser.add_argument("--quiet", action="store_true", help="no progress bar")
    args = parser.parse_args(argv)

    from tqdm import tqdm

    from jaxret.data.open import open_dataset
    from jaxret.models.store import load_encoder
    from jaxret.retrieval import InstanceRetriever, Retriever, SpaceName, is_instance_encoder, open_retriever

    dataset = open_dataset(args.media)
    args.index = index_folder(args.index)
    if (args.index / "manifest.json").exists():
        if args.encoder is not None:
            raise ConfigError(f"{args.index} exists and has its own encoder: leave --encoder out")
        if args.without_frames:
            raise ConfigError(f"{args.index} exists, with or without frames: leave --without-frames out")
        retriever = open_retriever(args.index)
    elif args.encoder is None:
        raise ConfigError(
            f"{args.index} does not exist yet: name the encoder of the new index with --encoder RUN_FOLDER"
        )
    else:
        encoder = load_encoder(find_encoder(args.encoder))
        if is_instance_encoder(encoder):
            if args.without_frames:
                raise ConfigError("regions lie in single frames: leave --without-frames out")
            retriever = InstanceRetriever.create(args.index, encoder)
        else:
            retriever = Retriever.create(args.index, encoder, frames=not args.without_frames)
    if args.remove:
        keys = [item.key for item in dataset.items if item.key in retriever.index]
        if keys:
            retriever.index.remove(keys)
        print(f"removed {len(keys)} of {len(dataset)} items; {len(retriever.index)} are left in {args.index}")
    else:
        with tqdm(total=len(dataset), unit="item", disable=args.quiet, dynamic_ncols=True) as bar:
            report = retriever.add(dataset, threads=args.threads, on_item=lambda _: bar.update())
        skipped = [*dataset.skipped, *report.skipped]
        print(
            f"added {len(report.added)} items, {len(report.present)} were there already, {len(skipped)} could not"
            f" be read; {len(retriever.index)} are in {args.index}"
        )
        for error in skipped:
            print(f"  skipped {error}")
        if isinstance(retriever, InstanceRetriever):
            size = retriever.bytes_a_picture() / 1e3
            print(f"a picture (or a frame of a video) takes {size:.1f} kB")
        elif retriever.has_codes:
            codes, clips = retriever.bytes_a_video("code"), retriever.bytes_a_video("clip")
            bits = retriever.index.spaces["code"].dimension
            print(f"codes of {bits} bits a chunk: {codes:.1f} bytes a video, their clip embeddings {clips:.1f}")
        if isinstance(retriever, Retriever) and retriever.finds_shots:
            spaces: tuple[SpaceName, ...] = ("frame", "clip") if retriever.has_frames else ("clip",)
            sizes = ", ".join(f"{space}s {retriever.bytes_an_hour(space) / 1e6:.2f} MB" for space in spaces)
            print(f"an hour of video takes: {sizes}")
    if args.compact:
        retriever.index.compact()
    return 0


def find_encoder(path: Path) -> Path:
    """The encoder folder in a run folder or index, or `path` itself if it is one."""
    for candidate in (path, path / "encoder"):
        if (candidate / "encoder.json").is_file():
            return candidate
    raise ConfigError(f"{path} holds no encoder: give a run folder whose training is finished, or an index")


if __name__ == "__main__":
    sys.exit(run_command(main))
