"""An image of many cells as one mark: a PNG in a data URL, some kB where a mark for each cell takes hundreds."""

from __future__ import annotations

import base64
import struct
import zlib

import numpy as np

from gmm_spark.core.arrays import Array

# Shades of a colour. Cells are numbers of shades, a byte each, which compress well.
_SHADES = 48


def paint(colour: str, opacity: Array) -> str:
    """Return the URL of an image of one colour, (height, width) cells of an opacity each, from 0 to 1.

    The top row comes first. Cells of opacity 0 are transparent, so that it does on a light and on a dark page.
    """
    return _encode(_find_shades(opacity), [colour])


def paint_signed(below: str, above: str, values: Array) -> str:
    """Return the URL of an image of cells (height, width) from -1 to 1, in two colours.

    A cell is as opaque as its value is far from 0.
    """
    return _encode(_find_shades(abs(values)) + _SHADES * (values > 0), [below, above])


def _find_shades(opacity: Array) -> Array:
    """Return the number of each cell's shade, from 0 to ``_SHADES`` - 1; what is not 0 is seen."""
    shades = np.rint((_SHADES - 1) * np.clip(opacity, 0, 1))
    return np.where(opacity > 0, np.maximum(shades, 1), 0).astype(np.uint8)


def _encode(cells: Array, colours: list[str]) -> str:
    """Encode cells (height, width) as PNG of colour type 3: numbers of a palette whose entries have an opacity."""
    height, width = cells.shape
    rgb = b"".join(bytes.fromhex(colour[1:]) * _SHADES for colour in colours)
    opacity = np.rint(np.linspace(0, 255, _SHADES)).astype(np.uint8).tobytes() * len(colours)
    lines = b"".join(b"\0" + line.astype(np.uint8).tobytes() for line in cells)  # 0: no filter
    png = (
        b"\x89PNG\r\n\x1a\n"
        + _chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 3, 0, 0, 0))
        + _chunk(b"PLTE", rgb)
        + _chunk(b"tRNS", opacity)
        + _chunk(b"IDAT", zlib.compress(lines, 9))
        + _chunk(b"IEND", b"")
    )
    return "data:image/png;base64," + base64.b64encode(png).decode()


def _chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))
