"""Which files are images and which videos: by their extensions, and by their first bytes where a name says nothing."""

from __future__ import annotations

import functools
import mimetypes
import os
from collections.abc import Mapping

from PIL import Image

from jaxret.data.decode.errors import OneLineErrors
from jaxret.data.items import Kind
from jaxret.errors import MediaError
from jaxret.remote import open_binary

__all__ = [
    "IMAGE_EXTENSIONS",
    "VIDEO_EXTENSIONS",
    "file_extension",
    "media_kind",
    "passed_over_in_words",
]

IMAGE_EXTENSIONS = frozenset(
    f".{name}"
    for name in [
        "apng",
        "avif",
        "avifs",
        "blp",
        "bmp",
        "bw",
        "cur",
        "dcx",
        "dds",
        "dib",
        "ftc",
        "ftu",
        "gbr",
        "heic",
        "heif",
        "hif",
        "icb",
        "icns",
        "ico",
        "im",
        "j2c",
        "j2k",
        "jfif",
        "jp2",
        "jpc",
        "jpe",
        "jpeg",
        "jpf",
        "jpg",
        "jpx",
        "jxl",
        "mpo",
        "msp",
        "pam",
        "pbm",
        "pcd",
        "pcx",
        "pfm",
        "pgm",
        "png",
        "pnm",
        "ppm",
        "psd",
        "pxr",
        "qoi",
        "ras",
        "rgb",
        "rgba",
        "sgi",
        "tga",
        "tif",
        "tiff",
        "vda",
        "vst",
        "webp",
        "xbm",
        "xpm",
        "xwd",
    ]
)
"""Of the formats that Pillow reads, or FFmpeg (`ImageReader`); not those that are no images of pixels, such as EPS."""

VIDEO_EXTENSIONS = frozenset(
    f".{name}"
    for name in [
        "264",
        "265",
        "266",
        "3g2",
        "3gp",
        "3gp2",
        "3gpp",
        "amv",
        "asf",
        "avc",
        "avi",
        "dif",
        "divx",
        "dv",
        "evo",
        "f4v",
        "flc",
        "fli",
        "flv",
        "gxf",
        "h261",
        "h263",
        "h264",
        "h265",
        "h266",
        "hevc",
        "ismv",
        "ivf",
        "ivr",
        "m1v",
        "m2p",
        "m2t",
        "m2ts",
        "m2v",
        "m4v",
        "mj2",
        "mjpeg",
        "mjpg",
        "mk3d",
        "mkv",
        "mov",
        "mp4",
        "mpe",
        "mpeg",
        "mpg",
        "mpv",
        "mts",
        "mxf",
        "nsv",
        "nut",
        "nuv",
        "obu",
        "ogm",
        "ogv",
        "ogx",
        "psp",
        "qt",
        "rm",
        "rmvb",
        "roq",
        "rv",
        "smk",
        "tp",
        "trp",
        "ts",
        "vc1",
        "vivo",
        "vob",
        "vro",
        "vvc",
        "webm",
        "wm",
        "wmv",
        "wtv",
        "y4m",
    ]
)
"""Of the formats that FFmpeg reads."""

_MAYBE_MOVING = {".gif", ".apng"}
_HEAD = 4096

_IMAGE_STARTS = (
    b"\xff\xd8\xff",  # JPEG
    b"\x89PNG\r\n\x1a\n",
    b"II*\0",  # TIFF
    b"MM\0*",
    b"\0\0\0\x0cjP  \r\n\x87\n",  # JPEG 2000
    b"\xff\x4f\xff\x51",
    b"\0\0\0\x0cJXL \r\n\x87\n",
    b"\xff\x0a",  # JPEG XL
    b"8BPS\0\x01",
    b"DDS |",
    b"qoif",
)
_VIDEO_STARTS = (
    b"\x1aE\xdf\xa3",  # Matroska, WebM
    b"FLV\x01",
    b"0&\xb2u\x8ef\xcf\x11",  # ASF, WMV
    b"\0\0\x01\xba",  # MPEG program stream
    b"\0\0\x01\xb3",  # MPEG video
    b"\x06\x0e+4\x02\x05\x01\x01",  # MXF
    b".RMF",
    b"nut/multimedia container",
    b"YUV4MPEG2 ",
    b"DKIF",  # IVF
)
_STILL_BRANDS = {b"heic", b"heix", b"heim", b"heis", b"mif1", b"avif", b"jpeg", b"MiHE"}
_SOUND_BRANDS = {b"M4A ", b"M4B ", b"M4P ", b"F4A ", b"F4B "}


def media_kind(path: str | os.PathLike[str]) -> Kind | None:
    """Whether a file is an image or a video; None for neither.

    Its extension says so. Where that is unknown to Python's table of file types (or absent) the first bytes do. A
    `.gif` or `.apng` that moves is a video, a still one an image; a file that cannot be opened is what its name says.
    """
    extension = file_extension(path)
    if extension in _MAYBE_MOVING:
        return "video" if _moves(path) else "image"
    if extension in IMAGE_EXTENSIONS:
        return "image"
    if extension in VIDEO_EXTENSIONS:
        return "video"
    if extension and _names().guess_type(f"a{extension}")[0] is not None:
        return None
    return _kind_by_content(path)


@functools.cache
def _names() -> mimetypes.MimeTypes:
    return mimetypes.MimeTypes()  # Python's own table: the same on every machine; it reads a dozen files when made


def file_extension(path: str | os.PathLike[str]) -> str:
    """In lower case, with the dot; empty where there is none."""
    return os.path.splitext(path)[1].lower()


def passed_over_in_words(counts: Mapping[str, int]) -> str:
    """One line on the files of a folder that are no media.

    Example:
      >>> passed_over_in_words({".txt": 3, "": 1})
      'passed over 4 files that are no images or videos: 3 .txt, 1 without extension'
    """
    kinds = sorted(counts.items(), key=lambda entry: (-entry[1], entry[0]))
    shown = ", ".join(f"{count} {extension or 'without extension'}" for extension, count in kinds[:10])
    more = f", and {len(kinds) - 10} other extensions" if len(kinds) > 10 else ""
    return f"passed over {sum(counts.values())} files that are no images or videos: {shown}{more}"


def _moves(path: str | os.PathLike[str]) -> bool:
    try:
        with open_binary(path) as file, OneLineErrors(os.fspath(path)), Image.open(file) as image:
            return bool(getattr(image, "is_animated", False))
    except (MediaError, OSError):
        return False  # broken or missing: reading it as an image says so


def _kind_by_content(path: str | os.PathLike[str]) -> Kind | None:
    try:
        with open_binary(path) as file:
            head = file.read(_HEAD)
    except (MediaError, OSError, ValueError):
        return None
    if head[4:8] == b"ftyp":
        brand = head[8:12]
        if brand in _STILL_BRANDS:
            return "image"
        return None if brand in _SOUND_BRANDS else "video"
    if head[:6] in (b"GIF87a", b"GIF89a"):
        return "video" if _moves(path) else "image"
    if head[:4] == b"RIFF":
        return "image" if head[8:12] == b"WEBP" else "video" if head[8:12] == b"AVI " else None
    if head.startswith(_IMAGE_STARTS) or (head[:2] == b"BM" and head[6:10] == bytes(4)):
        return "image"
    if head[:1] == b"P" and head[1:2] in b"123456" and head[2:3] in (b"\n", b" ", b"\r", b"\t"):
        return "image"  # netpbm
    if head.startswith(_VIDEO_STARTS) or head[4:8] in (b"moov", b"mdat", b"wide", b"free", b"skip"):
        return "video"
    if head[:4] == b"OggS":
        return "video" if b"theora" in head or b"OVP80" in head or b"BBCD" in head else None
    steps = ((0, 188), (4, 192), (0, 204))  # packets of a transport stream begin with G
    if any(len(head) > first + 4 * step and not head[first::step].strip(b"G") for first, step in steps):
        return "video"
    return None
