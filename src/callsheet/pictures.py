"""Whether a file is an image that can be used: Pillow decides."""

from __future__ import annotations

import threading
import warnings

from callsheet import system

_ONE_AT_A_TIME = threading.Lock()
"""An image may take half a gigabyte when it is decoded; and warnings are silenced for all threads at once."""


def flaw(path: str, filename: str) -> str:
    """What keeps an image from being decoded to the last pixel of its last frame, or empty if nothing does. `filename` tells its format.

    Also empty for a format that the installed Pillow does not read, and for one that Pillow deems too big to be safe to decode
    (`Image.MAX_IMAGE_PIXELS`, twice): of those nothing is known. Raises nothing.
    """
    from PIL import Image, UnidentifiedImageError

    try:
        with _ONE_AT_A_TIME, warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            with system.open_file(path, "rb") as file, Image.open(file, formats=_formats()) as image:
                for frame in range(getattr(image, "n_frames", 1)):
                    image.seek(frame)
                    image.load()
    except Image.DecompressionBombError:
        return ""
    except UnidentifiedImageError:
        return "it is not an image" if _readable(filename) else ""
    except Exception as error:  # noqa: BLE001  decoders raise anything: OSError, SyntaxError, ValueError, struct.error
        return f"it cannot be decoded: {str(error).splitlines()[0][:200] if str(error) else type(error).__name__}"
    return ""


def _formats() -> list[str]:
    """All that Pillow decodes by itself: for EPS it runs Ghostscript, which no file from elsewhere should start."""
    from PIL import Image

    Image.init()
    return [name for name in Image.ID if name != "EPS"]


def _readable(filename: str) -> bool:
    """Whether Pillow has a decoder for the format that the name says."""
    from PIL import Image

    return filename[filename.rfind(".") :].lower() in Image.registered_extensions()
