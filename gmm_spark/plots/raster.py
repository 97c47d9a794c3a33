"""An image of many cells as one mark: a PNG in a data URL, some kB where a mark for each cell takes hundreds."""

from __future__ import annotations

import base64
import struct
import zlib

import numpy as np

from gmm_spark.core.arrays import Array


def paint(colour: str, opacity: Array) -> str:
    """Return the URL of an image of one colour, (height, width) cells of an opacity each, from 0 to 1.

    The top row comes first. Cells of opacity 0 are transparent, so that it does on a light and on a dark page.
    """
    pixels = np.empty((*opacity.shape, 4), np.uint8)
    pixels[..., :3] = [int(colour[i : i + 2], 16) for i in (1, 3, 5)]
    pixels[..., 3] = np.rint(255 * np.clip(opacity, 0, 1))
    return _encode(pixels)


def paint_signed(below: str, above: str, values: Array) -> str:
    """Return the URL of an image of cells (height, width) from -1 to 1, in two colours.

    A cell is as opaque as its value is far from 0.
    """
    pixels = np.empty((*values.shape, 4), np.uint8)
    ends = np.array([[int(colour[i : i + 2], 16) for i in (1, 3, 5)] for colour in (below, above)], np.uint8)
    pixels[..., :3] = ends[(values > 0).astype(int)]
    pixels[..., 3] = np.rint(255 * np.clip(abs(values), 0, 1))
    return _encode(pixels)


def _encode(pixels: Array) -> str:
    """Encode pixels (height, width, 4) of 8 bits: red, green, blue, opacity (PNG, colour type 6)."""
    height, width = pixels.shape[:2]
    lines = b"".join(b"\0" + line.tobytes() for line in pixels)  # 0: no filter
    png = (
        b"\x89PNG\r\n\x1a\n"
        + _chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 6, 0, 0, 0))
        + _chunk(b"IDAT", zlib.compress(lines, 9))
        + _chunk(b"IEND", b"")
    )
    return "data:image/png;base64," + base64.b64encode(png).decode()


def _chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))
