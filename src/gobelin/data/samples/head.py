"""Axial slices of the CT scan of one head, in Hounsfield units, with the masks that came with it.

`apt-get install invesalius-examples` (GPL-2) puts the project file `Cranium.inv3` on the machine.
It is read there, and none of it comes with Gobelin. The file is a tar of the scan (int16 HU, 108
slices of 256 x 256) and of two masks: bone (226 HU and more) and everything that is no air (-142 HU
and more). A row is a slice as a PNG of 16 bits, whose pixel is the HU above -1024. Which HU are
black and white is a window: `encoders.image.opening.low` and `.high`, in these numbers. The first
one shows soft tissue.

The slices are cut into slabs of three. Every sixth slab is test, every sixth validation.

What this cannot show: anything about a second head. The test slices lie between training slices of
the same scan, 4.5 mm apart. The masks are thresholds of the scan, no anatomy. Which side is left
isn't said in the file.
"""

from __future__ import annotations

import io
import plistlib
import tarfile
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Any, ClassVar
from xml.parsers.expat import ExpatError

import numpy as np
import pyarrow as pa
import pyarrow.csv as pa_csv
from PIL import Image

from gobelin.core.config import setting, settings_class
from gobelin.core.errors import GobelinError, MissingExtra
from gobelin.core.files import atomic_folder
from gobelin.data.volume.tissue import coarse, coarse_labels

HEAD_PACKAGE = "invesalius-examples"
PROJECT = "Cranium.inv3"
AIR = -1024  # HU of the pixel 0
SOFT_TISSUE = (-160, 240)  # HU that are black and white: a width of 400 around 40
LABELS = ("air", "soft tissue", "bone")
# no colour is a mixture of the others, so that a linear filter can tell all apart
COLOURS = np.array([(0, 0, 0), (0, 255, 0), (255, 0, 0)], np.uint8)
MILLIMETRES = 1.5  # from one slice to the next
SLAB = 3  # slices that follow each other, a group
PARTS = ("train", "train", "valid", "train", "train", "test")  # of slabs that follow each other


@settings_class
class Head:
    """Settings of the sample set."""

    folder: str = setting(
        default="/usr/share/doc/invesalius-examples/examples",
        description="Folder of the project file Cranium.inv3.",
    )
    size: int = setting(default=48, ge=16, le=256, description="Side of the images in pixels.")

    target: ClassVar[str] = "height"
    credit: ClassVar[str] = (
        "One head, not for diagnosis. CT: InVesalius examples, Centro de Tecnologia da Informação"
        " Renato Archer, GPL-2"
    )

    unstudied: ClassVar[str] = "the test slices are six slabs of one head, 30 are the least"

    def settings(self) -> Mapping[str, Any]:
        low, high = (hu - AIR for hu in SOFT_TISSUE)
        return {
            "schema": {"slab": "group", "part": "split"},
            "encoders": {"image": {"name": "pixels", "opening": {"low": low, "high": high}}},
            "judge": {"audits": []},  # they need held-out rows that were drawn at random
            "generator": {
                "name": "translate",
                "source": "labels",
                "size": self.size,
                "steps": 300,
                "settings": {"filter": 7, "evaluations": 1, "width": 32, "batch": 16, "masked": 0},
            },
        }

    def queries(self) -> tuple[Mapping[str, str], ...]:
        return ({"row": "bone=0.2"},)

    def write(self, folder: Path, seed: int) -> Path:
        """Write records.csv, slices/*.png and labels/*.png. Nothing is drawn at random."""
        if (folder / "records.csv").is_file():
            return folder / "records.csv"
        scan, labels = self.volume()
        with atomic_folder(folder) as temporary:
            for name in ("slices", "labels"):
                (temporary / name).mkdir()
            rows = []
            for k in range(len(scan)):
                name = f"{k:03d}.png"
                pixels = np.round(coarse(scan[k], self.size)) - AIR
                Image.fromarray(pixels.astype(np.uint16)).save(temporary / "slices" / name)
                found = coarse_labels(labels[k], self.size, len(LABELS))
                Image.fromarray(COLOURS[found]).save(temporary / "labels" / name)
                rows.append(
                    {
                        "id": f"{k:03d}",
                        "slice": f"slices/{name}",
                        "labels": f"labels/{name}",
                        "height": MILLIMETRES * k,
                        "soft": round(float((found == 1).mean()), 4),
                        "bone": round(float((found == 2).mean()), 4),
                        "slab": f"{k // SLAB:02d}",
                        "part": PARTS[k // SLAB % len(PARTS)],
                    }
                )
            pa_csv.write_csv(pa.Table.from_pylist(rows), temporary / "records.csv")
        return folder / "records.csv"

    def volume(self) -> tuple[np.ndarray, np.ndarray]:
        """The scan, int16 [D, H, W] in HU, and its labels, uint8 [D, H, W] as in `LABELS`; D runs
        from the jaw to the crown, H from the face to the back of the head. Raises MissingExtra."""
        path = Path(self.folder).expanduser() / PROJECT
        if not path.is_file():
            raise MissingExtra(
                f"The sample set head ({PROJECT} in {self.folder})",
                command=f"sudo apt-get install {HEAD_PACKAGE}",
            )
        try:
            read = _members(path)
            about = plistlib.load(io.BytesIO(read["main.plist"]))
            shape = tuple(int(n) for n in about["matrix"]["shape"])
            scan = np.frombuffer(read["matrix.dat"], "<i2").reshape(shape)
            # the first plane, row and column of a mask hold notes of the program
            framed = tuple(n + 1 for n in shape)
            bone, body = (
                np.frombuffer(read[f"mask_{k}.dat"], np.uint8).reshape(framed)[1:, 1:, 1:] > 0
                for k in (0, 1)
            )
        except (tarfile.TarError, LookupError, TypeError, ValueError, ExpatError) as error:
            raise GobelinError(
                f"{path}: is not the project file of {HEAD_PACKAGE} ({error}). Install the package"
                " again."
            ) from error
        # in the file the back of the head is the first row
        return scan[:, ::-1], (body.astype(np.uint8) + bone)[:, ::-1]


def _members(path: Path) -> dict[str, bytes]:
    """{name without folders: contents} of the files in a tar."""
    with tarfile.open(path) as archive:
        files = {m.name: archive.extractfile(m) for m in archive if m.isfile()}
        return {PurePosixPath(n).name: f.read() for n, f in files.items() if f is not None}
