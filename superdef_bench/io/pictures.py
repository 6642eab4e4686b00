"""Read one image file: 8 bits, grey or RGB, or an error that says why not."""

import io
import re
import warnings
from pathlib import Path

from PIL import Image, ImageOps, UnidentifiedImageError

from superdef_bench.core.errors import DataError
from superdef_bench.io.files import read_file

SUFFIXES = frozenset(
    {".bmp", ".gif", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp"}
)
MOST_PIXELS = 89_478_485  # where Pillow begins to warn of a decompression bomb
MOST_BYTES = 3 * MOST_PIXELS + 2**24  # of a file: so many pixels unpacked, and what is told of them

# No format that runs a program to decode (EPS) or that has no pixels of its own.
_FORMATS = ("BMP", "GIF", "JPEG", "PNG", "PPM", "TIFF", "WEBP")
_SAVE = "save it as an 8-bit RGB or grey file without alpha"


def read_picture(path: Path, content: bytes | None = None) -> Image.Image:
    """Return the image at `path`, of mode `RGB` or `L`; nothing is lost on the way.

    Black-and-white and palette images become `L` and `RGB`.

    Args:
        path: File, or its name in messages where `content` is given.
        content: Bytes of an image that is no file of its own, such as the member of an archive.

    Raises:
        DataError: The file is missing or damaged, or its image is not 8 bits deep, is CMYK or of
            another colour space, has transparency, several frames, or too many pixels.
    """
    if content is None:
        content = _content(path)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of tags that are damaged and not needed
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(io.BytesIO(content), formats=_FORMATS) as opened:
                refusal = _refusal(opened)
                picture = None if refusal else _as(_mode(opened), opened)
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        refusal, picture = f"has more than {MOST_PIXELS:,} pixels", None
    except UnidentifiedImageError as error:
        raise DataError(
            f"image {path} cannot be read: it is empty, damaged, or of an unknown format",
            hint=f"known formats: {', '.join(_FORMATS)}",
        ) from error
    except Exception as error:  # decoders raise nearly anything on a damaged file
        raise DataError(
            f"image {path} cannot be read: {' '.join(str(error).split()) or type(error).__name__}",
            hint="replace it or take it out",
        ) from error
    if picture is None:
        hint = "shrink it first" if "pixels" in refusal else _SAVE
        raise DataError(f"image {path} {refusal}", hint=hint)
    return picture


def read_upright(path: Path) -> Image.Image:
    """Return the image at `path` as `read_picture` does, turned as its camera says.

    Raises:
        DataError: As `read_picture`.
    """
    picture = read_picture(path)
    ImageOps.exif_transpose(picture, in_place=True)
    return picture


def _content(path: Path) -> bytes:
    try:
        return read_file(path, most=MOST_BYTES)
    except FileNotFoundError as error:
        raise DataError(f"image {path} does not exist") from error
    except IsADirectoryError as error:
        raise DataError(f"image {path} is no file") from error
    except OSError as error:
        raise DataError(f"image {path} cannot be read: {error.strerror}") from error


def _as(mode: str, opened: Image.Image) -> Image.Image:
    """Return all pixels in a mode; a large image is not copied where it has that already."""
    opened.load()
    return opened if opened.mode == mode else opened.convert(mode)


def _mode(opened: Image.Image) -> str:
    return "L" if opened.mode in ("1", "L") else "RGB"


def _refusal(opened: Image.Image) -> str:
    """Return why an image cannot be used without a loss, or nothing."""
    if _is_deep(opened):
        return "has more than 8 bits per channel"
    if opened.has_transparency_data:
        return "has an alpha channel or a transparent colour"
    if opened.mode not in ("1", "L", "P", "RGB"):
        return f"has colours of mode {opened.mode}, not RGB or grey"
    # An MPO is a photo with previews behind it: the first frame is the picture.
    frames = getattr(opened, "n_frames", 1)
    if frames > 1 and opened.format != "MPO":
        return f"has {frames} frames"
    return ""


def _is_deep(opened: Image.Image) -> bool:
    """Return whether a channel has more than 8 bits, which Pillow would cut off in silence."""
    if opened.mode.startswith(("I", "F")):
        return True
    bits = 258  # BitsPerSample
    if opened.format == "TIFF":
        return max(opened.tag_v2.get(bits, (1,))) > 8  # type: ignore[attr-defined]  # a TIFF has tags
    tiles = getattr(opened, "tile", ())
    arguments = [argument for tile in tiles for argument in _flat(tile[3])]
    if opened.format == "PPM":
        return any(isinstance(argument, int) and argument > 255 for argument in arguments)
    return any(re.search(";16[BLN]", str(argument)) for argument in arguments)


def _flat(arguments: object) -> tuple[object, ...]:
    return arguments if isinstance(arguments, tuple) else (arguments,)
