"""Whether a file is an image that can be used: Pillow decides."""

from __future__ import annotations

import threading
import warnings

_OPENING = threading.Lock()
"""Warnings are silenced for all threads at once, so by one at a time."""


def flaw(path: str, filename: str) -> str:
    """What keeps an image from being decoded to its last pixel, or empty if nothing does. `filename` tells its format.

    Also empty for a format that the installed Pillow does not read, and for one that Pillow deems too big to be safe to decode
    (`Image.MAX_IMAGE_PIXELS`, twice): of those nothing is known. Raises nothing.
    """
    from PIL import Image, UnidentifiedImageError

    try:
        with _OPENING, warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            opened = Image.open(path)
        with opened as image:
            image.load()
    except Image.DecompressionBombError:
        return ""
    except UnidentifiedImageError:
        return "it is not an image" if _readable(filename) else ""
    except Exception as error:  # noqa: BLE001  decoders raise anything: OSError, SyntaxError, ValueError, struct.error
        return f"it cannot be decoded: {str(error).splitlines()[0][:200] if str(error) else type(error).__name__}"
    return ""


def _readable(filename: str) -> bool:
    """Whether Pillow has a decoder for the format that the name says."""
    from PIL import Image

    return filename[filename.rfind(".") :].lower() in Image.registered_extensions()
