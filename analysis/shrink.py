"""A picture of a report made small enough for the repository, with every colour kept apart.

    python -m analysis.shrink runs/aml_hsct-seed1/report/overview.png docs/aml_hsct.png

A palette chosen by area gives thin lines the colour of others; here each colour that occurs counts once.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from PIL import Image

WIDTH = 1500  #: pixels
COLOURS = 256
#: Values of a colour channel that count as one.
_ALIKE = 8


def shrink(picture: Path, out: Path, width: int = WIDTH) -> None:
    """Write a picture of at most ``width`` pixels with a palette of 256 colours."""
    with Image.open(picture) as file:
        image = file.convert("RGB")
    if image.width > width:
        image = image.resize((width, round(image.height * width / image.width)), Image.Resampling.LANCZOS)
    pixels = np.asarray(image) // _ALIKE * _ALIKE + _ALIKE // 2
    colours = np.unique(pixels.reshape(1, -1, 3), axis=1)
    palette = Image.fromarray(colours).quantize(COLOURS, Image.Quantize.MEDIANCUT, kmeans=3)
    image.quantize(palette=palette, dither=Image.Dither.NONE).save(out, optimize=True)


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit("usage: python -m analysis.shrink PICTURE.png OUT.png")
    shrink(Path(sys.argv[1]), Path(sys.argv[2]))
