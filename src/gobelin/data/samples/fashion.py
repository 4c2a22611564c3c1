"""Fashion-MNIST: images of clothes in ten classes, 28 x 28 pixels, and no other field.

The set is Xiao, Rasul & Vollgraf 2017. The files are read where `apt-get install
dataset-fashion-mnist` puts them (31 MB, MIT); none comes with Gobelin. The format is IDX: two zero
bytes, 8 for unsigned bytes, the count of axes, then the length of each axis and the bytes.
"""

from __future__ import annotations

import gzip
import struct
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
import pyarrow as pa
import pyarrow.csv as pa_csv
from PIL import Image

from gobelin.core.config import setting, settings_class
from gobelin.core.errors import GobelinError, MissingExtra
from gobelin.core.files import atomic_folder
from gobelin.core.machine import numpy_generator

FASHION_PACKAGE = "dataset-fashion-mnist"
CLASSES = (
    "T-shirt",
    "trouser",
    "pullover",
    "dress",
    "coat",
    "sandal",
    "shirt",
    "sneaker",
    "bag",
    "ankle boot",
)
Part = Literal["train", "t10k"]


@settings_class
class Fashion:
    """Settings of the sample set."""

    rows: int = setting(
        default=3000, ge=1, le=60_000, description="Rows drawn from the 60,000 training images."
    )
    size: int = setting(
        default=28, ge=1, description="Side of the images in pixels. The originals have 28."
    )
    folder: str = setting(
        default="/usr/share/datasets/fashion-mnist",
        description="Folder of the Fashion-MNIST files.",
    )

    target: ClassVar[str] = "class"
    credit: ClassVar[str] = "Pictures: Fashion-MNIST, Zalando SE, MIT"

    def settings(self) -> Mapping[str, Any]:
        return {"encoders": {"image": {"name": "pixels"}}, "generator": {"steps": 1400}}

    def queries(self) -> tuple[Mapping[str, str], ...]:
        return ()

    def arrays(self, part: Part) -> tuple[np.ndarray, np.ndarray]:
        """All images of a part, uint8 [N, 28, 28], bright on black, and their classes, int64 [N],
        as places in CLASSES. Raises MissingExtra, or GobelinError for a damaged file.
        """
        paths = [
            Path(self.folder) / f"{part}-{name}-ubyte.gz" for name in ("images-idx3", "labels-idx1")
        ]
        if not all(path.is_file() for path in paths):
            raise MissingExtra(
                f"The fashion sample set ({FASHION_PACKAGE} in {self.folder})",
                command=f"sudo apt-get install {FASHION_PACKAGE}",
            )
        images, labels = (idx(path) for path in paths)
        return images, labels.astype(np.int64)

    def write(self, folder: Path, seed: int) -> Path:
        """Write records.csv and images/*.png (a second for 3,000)."""
        if (folder / "records.csv").is_file():
            return folder / "records.csv"
        images, labels = self.arrays("train")
        rows_drawn = np.sort(
            numpy_generator(seed, "fashion", "rows").permutation(len(labels))[: self.rows]
        )
        with atomic_folder(folder) as temporary:
            (temporary / "images").mkdir()
            rows = []
            for k in rows_drawn.tolist():
                name = f"images/{k:05d}.png"
                Image.fromarray(images[k]).resize(
                    (self.size, self.size), Image.Resampling.BICUBIC
                ).save(temporary / name)
                rows.append({"id": f"{k:05d}", "image": name, "class": CLASSES[labels[k]]})
            pa_csv.write_csv(pa.Table.from_pylist(rows), temporary / "records.csv")
        return folder / "records.csv"


def idx(path: Path) -> np.ndarray:
    """The array of unsigned bytes in a gzipped IDX file. Raises GobelinError for another file."""
    try:
        raw = gzip.decompress(path.read_bytes())
        zeros, kind, axes = struct.unpack(">HBB", raw[:4])
        shape = struct.unpack(f">{axes}I", raw[4 : 4 + 4 * axes])
        if (zeros, kind) != (0, 8):
            raise ValueError(f"begins with {raw[:4].hex(' ')}")
        return np.frombuffer(raw, np.uint8, offset=4 + 4 * axes).reshape(shape)
    except (OSError, EOFError, zlib.error, struct.error, ValueError) as error:
        raise GobelinError(
            f"{path}: is not a complete IDX file of unsigned bytes ({error}). Install"
            f" {FASHION_PACKAGE} again."
        ) from error
