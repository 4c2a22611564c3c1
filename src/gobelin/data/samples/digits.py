"""scikit-learn's handwritten digits: 1,797 images of 8 x 8 pixels and no other field.

They are from the UCI repository (Alpaydin & Kaynak 1998). They come with scikit-learn, so this real
set needs no download. With its one field a fusion has nothing to fuse, and must not be worse for
it. The writer of a digit isn't known, so writers are on both sides of a split.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa
import pyarrow.csv as pa_csv
from PIL import Image

from gobelin.core.config import setting, settings_class
from gobelin.core.files import atomic_folder

GREYS = 16  # a pixel is the count of dark ones among 4 x 4 of the scan, 0 to 16


@settings_class
class Digits:
    """Settings of the sample set."""

    size: int = setting(
        default=32, ge=1, description="Side of the images in pixels. The originals have 8."
    )

    target: ClassVar[str] = "digit"
    credit: ClassVar[str] = (
        "Digits: Optical Recognition of Handwritten Digits, UCI Machine Learning Repository, CC"
        " BY 4.0"
    )

    def settings(self) -> Mapping[str, Any]:
        return {
            "schema": {"digit": "category"},
            "encoders": {"image": {"name": "pixels"}},
            "generator": {"size": 16, "steps": 1000},
        }

    def queries(self) -> tuple[Mapping[str, str], ...]:
        return ()

    def write(self, folder: Path, seed: int) -> Path:
        """Write records.csv and images/*.png, dark on white (a second)."""
        from sklearn.datasets import load_digits

        if (folder / "records.csv").is_file():
            return folder / "records.csv"
        digits = load_digits()
        with atomic_folder(folder) as temporary:
            (temporary / "images").mkdir()
            rows = []
            for k, (counts, digit) in enumerate(zip(digits.images, digits.target, strict=True)):
                name = f"images/{k:04d}.png"
                grey = Image.fromarray(np.round(255 * (1 - counts / GREYS)).astype(np.uint8))
                grey.resize((self.size, self.size), Image.Resampling.BICUBIC).save(temporary / name)
                rows.append({"id": f"{k:04d}", "image": name, "digit": int(digit)})
            pa_csv.write_csv(pa.Table.from_pylist(rows), temporary / "records.csv")
        return folder / "records.csv"
