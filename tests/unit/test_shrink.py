"""Pictures made small keep thin lines in their own colours."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

Image = pytest.importorskip("PIL.Image")


def test_every_line_keeps_its_colour(tmp_path: Path) -> None:
    from analysis.shrink import shrink

    lines = {5: (0, 158, 115), 9: (230, 159, 0), 13: (213, 94, 0), 17: (204, 121, 167)}
    pixels = np.empty((120, 400, 3), np.uint8)
    pixels[:] = np.linspace(0, 255, 400, dtype=np.uint8)[None, :, None] // [1, 2, 3]  # many shades on a large area
    for row, colour in lines.items():
        pixels[row, 100:140] = colour
    Image.fromarray(pixels).save(tmp_path / "large.png")
    shrink(tmp_path / "large.png", tmp_path / "small.png", width=400)
    with Image.open(tmp_path / "small.png") as small:
        mode, found = small.mode, np.asarray(small.convert("RGB"))
    assert (mode, found.shape) == ("P", (120, 400, 3))
    for row, colour in lines.items():
        assert np.abs(found[row, 100:140].astype(int) - colour).max() <= 16
    shrink(tmp_path / "large.png", tmp_path / "half.png", width=200)
    with Image.open(tmp_path / "half.png") as half:
        assert half.size == (200, 60)
