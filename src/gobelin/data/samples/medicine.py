"""Slices of three brains, each with the map of its tissues: two people and a macaque.

MNI152 (the mean of 152 people) is read where the package nilearn is installed, Colin27 (one man,
scanned 27 times) and the macaque atlas INIA19 where `apt-get install mricron-data` puts them. None
of it comes with Gobelin. A row is a slice of the magnetic resonance image (T1), its label map with
the four labels that the three brains share, and its shares of tissues. The rules of the labels
(`gobelin.data.volume.tissue`): MNI152 has maps of grey and white matter; the macaque has an atlas
of regions; Colin27 gets its labels from its own brightness, as its atlases hold grey and white
matter in one region.

One brain is held out whole, and is the test part: a generator learns from the two others. Every
fourth slab of these is the validation part. Slices of one slab are one group.

What this cannot show: anything about a patient. It is three brains, two of which are averages, none
is ill, and a generator of this set is trained on two brains.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
import pyarrow as pa
import pyarrow.csv as pa_csv
from PIL import Image

from gobelin.core.config import setting, settings_class
from gobelin.core.errors import MissingExtra
from gobelin.core.files import atomic_folder
from gobelin.data.volume import tissue
from gobelin.data.volume.nifti import open_nifti
from gobelin.data.volume.tissue import coarse_image, coarse_labels

MNI152 = "mni_icbm152_{}_tal_nlin_sym_09a_converted.nii.gz"
# of the labels: no colour is a mixture of others, so that a linear filter can tell all apart
COLOURS = np.array([(0, 0, 0), (0, 0, 255), (0, 255, 0), (255, 0, 0)], np.uint8)
PLANES = ("sagittal", "coronal", "axial")  # the axis that stands across each: x, y, z
SPECIES = {"mni152": "human", "colin27": "human", "inia19": "macaque"}
MARGIN = 1.06  # side of an image over the longest side of the brain
LEAST_AREA = 0.05  # of the largest slice of its plane: smaller slices are left out
VALIDATION_SLAB = 4  # every fourth slab of the brains that are learned from
Brain = Literal["mni152", "colin27", "inia19"]


@settings_class
class Medicine:
    """Settings of the sample set."""

    held_out: Brain = setting(
        default="colin27", description="Brain of the test part: no other part has a slice of it."
    )
    slices: int = setting(
        default=40, ge=8, le=150, description="Slices of each plane of each brain."
    )
    slab: int = setting(
        default=4, ge=1, le=50, description="Slices that follow each other, a group."
    )
    size: int = setting(default=48, ge=16, le=256, description="Side of the images in pixels.")
    nilearn: str = setting(
        default="", description="Folder of the MNI152 files. Empty: that of the package nilearn."
    )
    mricron: str = setting(
        default="/usr/share/mricron/templates", description="Folder of the templates of MRIcron."
    )

    target: ClassVar[str] = "plane"
    credit: ClassVar[str] = (
        "Trained on two brains, not for diagnosis. MNI152: McConnell Brain Imaging Centre, McGill"
        " University; Colin27 in MRIcron, Chris Rorden; INIA19 macaque: Rohlfing et al. 2012"
    )

    def settings(self) -> Mapping[str, Any]:
        return {
            "schema": {"slab": "group", "part": "split", "brain": "ignore", "species": "ignore"},
            "encoders": {"image": {"name": "pixels"}},
            "judge": {"audits": []},  # they need held-out rows that were drawn at random
            "generator": {
                "name": "translate",
                "source": "labels",
                "size": self.size,
                "steps": 400,
                # most of an image follows from the labels near by; with one evaluation it is the
                # mean of what is possible, and nearest to the true one
                "settings": {"filter": 7, "evaluations": 1, "width": 32, "batch": 16, "masked": 0},
            },
        }

    def queries(self) -> tuple[Mapping[str, str], ...]:
        return ({"row": "white=0.5,grey=0.4"},)

    def write(self, folder: Path, seed: int) -> Path:
        """Write records.csv, slices/*.png and labels/*.png (20 seconds). Nothing is drawn at
        random.
        """
        if (folder / "records.csv").is_file():
            return folder / "records.csv"
        with atomic_folder(folder) as temporary:
            for name in ("slices", "labels"):
                (temporary / name).mkdir()
            rows = []
            for brain in SPECIES:
                for row, image, labels in self.cuts(brain):
                    for column, pixels in (("slice", image), ("labels", COLOURS[labels])):
                        row[column] = f"{'slices' if column == 'slice' else column}/{row['id']}.png"
                        Image.fromarray(pixels).save(temporary / row[column])
                    rows.append(row)
            pa_csv.write_csv(pa.Table.from_pylist(rows), temporary / "records.csv")
        return folder / "records.csv"

    def cuts(self, brain: str) -> Iterator[tuple[dict[str, Any], np.ndarray, np.ndarray]]:
        """Slices of a brain: the row, the image uint8 [size, size] and the labels uint8 [size,
        size]. A pixel has the mean brightness of its voxels and the label that most of them have.
        """
        image, labels = self.volume(brain)
        inside = [np.flatnonzero((labels > 0).any(axis)) for axis in ((1, 2), (0, 2), (0, 1))]
        side = round(MARGIN * max(np.ptp(places) + 1 for places in inside))
        for axis, plane in enumerate(PLANES):
            area = (labels > 0).sum(tuple(a for a in range(3) if a != axis))
            places = np.flatnonzero(area >= LEAST_AREA * area.max())
            others = [inside[a] for a in range(3) if a != axis]
            centre = [int(p[0] + p[-1] + 1) // 2 for p in others]
            for k in range(self.slices):
                place = int(places[0] + (k + 0.5) * len(places) / self.slices)
                cut = [np.take(v, place, axis) for v in (image, labels)]
                pixels, names = (squared(c, centre, side) for c in cut)
                names = coarse_labels(names, self.size)
                row = self._row(brain, plane, k, names)
                yield row, coarse_image(pixels, self.size), names

    def _row(self, brain: str, plane: str, number: int, labels: np.ndarray) -> dict[str, Any]:
        slab = number // self.slab
        part = "valid" if slab % VALIDATION_SLAB == VALIDATION_SLAB - 1 else "train"
        shares = [float((labels == k).sum()) / max(1, (labels > 0).sum()) for k in (1, 2, 3)]
        return {
            "id": f"{brain}-{plane}-{number:03d}",
            "brain": brain,
            "species": SPECIES[brain],
            "plane": plane,
            "slab": f"{brain}-{plane}-{slab:02d}",
            "part": "test" if brain == self.held_out else part,
            "fluid": round(shares[0], 4),
            "grey": round(shares[1], 4),
            "white": round(shares[2], 4),
        }

    def volume(self, brain: str) -> tuple[np.ndarray, np.ndarray]:
        """The brain without its skull, float32 [X, Y, Z] in 0..255, and its labels uint8 [X, Y, Z],
        as places in TISSUES; X from left to right, Y from back to front, Z upwards.
        """
        if brain == "mni152":
            image, grey, white = (self._opened(MNI152.format(k)) for k in ("t1", "gm", "wm"))
            labels = tissue.by_maps(image, grey / 255, white / 255)
        elif brain == "inia19":
            image = self._opened("inia19-t1-brain.nii.gz")
            labels = tissue.by_regions(image, self._opened("inia19-NeuroMaps.nii.gz").astype(int))
        else:
            image = self._opened("ch2bet.nii.gz")
            labels = tissue.by_value(image)
        return tissue.scaled(image, labels), labels

    def _opened(self, name: str) -> np.ndarray:
        """float32 [X, Y, Z]. Raises MissingExtra without the file or nibabel."""
        folder = self._nilearn() if name.startswith("mni") else Path(self.mricron)
        if not (folder / name).is_file():
            command = (
                "pip install --no-deps nilearn"
                if name.startswith("mni")
                else "sudo apt-get install mricron-data"
            )
            raise MissingExtra(f"The medicine sample set ({name} in {folder})", command=command)
        volume, _ = open_nifti(name, folder)
        return volume.values[..., 0].transpose(2, 1, 0)

    def _nilearn(self) -> Path:
        """The folder of the MNI152 files; of the package, which is not imported."""
        if self.nilearn:
            return Path(self.nilearn)
        found = importlib.util.find_spec("nilearn")
        return Path(found.origin).parent / "datasets/data" if found and found.origin else Path(".")


def squared(cut: np.ndarray, centre: list[int], side: int) -> np.ndarray:
    """The square [side, side] of a slice [A, B] about its centre, 0 beyond it; upright, so that B
    runs from the bottom to the top of an image.
    """
    out = np.zeros((side, side), cut.dtype)
    start = [c - side // 2 for c in centre]
    known = [slice(max(s, 0), min(s + side, n)) for s, n in zip(start, cut.shape, strict=True)]
    place = tuple(slice(k.start - s, k.stop - s) for k, s in zip(known, start, strict=True))
    out[place] = cut[tuple(known)]
    return np.ascontiguousarray(out.T[::-1])
