"""Images, volumes and meshes from elsewhere: a simulator, a renderer or a model on another machine.

They meet the same baseline methods, screens and audits as the images of any generator here. They
lie in one folder a class. With a class as the condition, the seed draws one of that class's images;
with an empty condition, one of all. Nothing is learned, and the origin of the images can't be
checked: where their maker used validation or test rows, the verdict is worth nothing. Near copies
of those rows are screened out as always, but images of a model that was trained on those rows pass.
A folder inside the folder of another run is refused where that run was trained on such rows; for
marked images elsewhere a warning says how many there are. Volumes must hold bytes, as those that
this program writes do; meshes become grids of voxels as training rows do.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from torch import nn

from gobelin.core import weights
from gobelin.core.config import setting, settings_class
from gobelin.core.errors import GobelinError
from gobelin.core.files import fingerprint
from gobelin.core.machine import Runtime, numpy_generator
from gobelin.data.budget import refuse
from gobelin.data.class_folders import files_of_kind
from gobelin.data.files import BadCell, file_bytes
from gobelin.data.image.images import Opening, fitted, open_image
from gobelin.data.media import medium
from gobelin.data.provenance.marks import is_marked
from gobelin.data.volume.files import open_volume
from gobelin.data.volume.volumes import BYTE, VolumeOpening, fitted_volume
from gobelin.generation.generators import Condition, Context, Controls, ImageRows

LOG = logging.getLogger(__name__)  # its warnings go to stderr unless a program changes that
IMPORTED_FORMAT = 1  # of the saved folder


@settings_class
class Imported:
    """Where the images are."""

    folder: str = setting(
        default="",
        description="Folder with one folder of images, volumes or meshes for each class.",
    )

    accepts: ClassVar[frozenset[str]] = frozenset({"target"})
    media: ClassVar[frozenset[str]] = frozenset({"image", "volume", "mesh"})
    keeps_images: ClassVar[bool] = True  # as they are, so a run with it is not saved for others
    licence: ClassVar[str] = "that of the images"
    cost: ClassVar[str] = "no training; the images are read once and kept in the run"
    least_steps: ClassVar[int] = 1

    def steps_for(self, images: int, size: tuple[int, ...]) -> int:
        """One: there is nothing to train."""
        return 1

    def fit(self, train: ImageRows, valid: ImageRows, context: Context) -> ImportedSampler:
        """Reads every image at the training images' size. Raises a GobelinError that names a folder
        without images, a class folder that is no class, and a file that is no image."""
        root = Path(self.folder).expanduser()
        if not self.folder or not root.is_dir():
            raise GobelinError(
                f"imported: {self.folder or 'no folder was named'}: a folder of one folder a class"
                " was expected. Set it: --set generator.name=imported --set"
                " generator.settings.folder=DIR."
            )
        shape = train.images.shape[1:]
        kind, files = class_files(root, shape)
        names = {name: k for k, name in enumerate(train.classes)}
        folders = sorted({p.relative_to(root).parts[0] for p in files})
        if not files or (unknown := [name for name in folders if names and name not in names]):
            problem = (
                f"{unknown[0]} is no class of the data"
                if files
                else f"holds no class folder with {medium(kind).plural}"
            )
            raise GobelinError(
                f"imported: {root}: {problem}. One folder a class"
                f" ({', '.join(list(names)[:5])} ...) was expected."
            )
        refuse(str(root), "table_mb", len(files) * math.prod(shape))
        images, marked = [], 0
        for place, path in enumerate(files):
            try:
                data = file_bytes(path)
                images.append(opened(kind, data, path, shape))
                marked += is_marked(data)
            except BadCell as error:
                raise GobelinError(f"imported: {path}: {error}. Mend or remove it.") from error
            if place % 256 == 255:
                context.progress("read images", place + 1, len(files))
        if marked:
            LOG.warning(
                "imported: %d of %d files in %s bear the mark of a generator. Make sure that it"
                " was trained on no validation or test row of this run.",
                marked,
                len(files),
                root,
            )
        labels = [names.get(p.relative_to(root).parts[0], -1) for p in files]
        album = Album(torch.from_numpy(np.stack(images)), torch.tensor(labels))
        return ImportedSampler(self, train.classes, album, files_of(root, files))

    def load(self, folder: Path, runtime: Runtime) -> ImportedSampler:
        """The sampler that was saved in `folder`; the images are in it."""
        config = weights.config_of(folder, IMPORTED_FORMAT)
        size, count = config["size"], config["images"]

        def empty() -> Album:
            images = torch.zeros(count, *size, dtype=torch.uint8)
            return Album(images, torch.zeros(count, dtype=torch.long))

        album = weights.loaded(folder, config, empty)
        settings, contents = Imported(**config["settings"]), config.get("contents", "")
        return ImportedSampler(settings, tuple(config["classes"]), album, contents)


def class_files(root: Path, shape: tuple[int, ...]) -> tuple[str, list[Path]]:
    """The kind of the files for arrays of this shape, H, W, C or D, H, W, C, and the files."""
    return files_of_kind(root, *(("image",) if len(shape) == len("HWC") else ("volume", "mesh")))


def opened(kind: str, data: bytes, path: Path, shape: tuple[int, ...]) -> np.ndarray:
    """uint8 of this shape. Raises BadCell."""
    if kind == "image":
        return fitted(open_image(data, path.parent, Opening())[0], (shape[0], shape[1], shape[2]))
    if kind == "mesh":
        array = medium(kind).opened(path.name, path.parent, VolumeOpening(), max(shape[:3]))
    else:
        volume, _ = open_volume(data, path.parent, VolumeOpening())
        if volume.unit != BYTE:
            raise BadCell("holds voxels that are no bytes; scale them to 0 to 255 as in training")
        array = fitted_volume(volume, max(shape[:3]), VolumeOpening())
    if array.shape != shape:
        raise BadCell(f"has {array.shape[-1]} channels; {shape[-1]} were expected")
    return array


def files_of(root: Path, files: Sequence[Path]) -> str:
    """A hash of the names, sizes and times of files below a folder."""
    states = [
        (p.relative_to(root).as_posix(), p.stat().st_size, p.stat().st_mtime_ns) for p in files
    ]
    return fingerprint("files", *sorted(states))


class Album(nn.Module):
    """The M images and their classes, saved as the weights of a network are."""

    images: torch.Tensor  # uint8 [M, H, W, C] or [M, D, H, W, C]
    labels: torch.Tensor  # int64 [M], -1 where there are no classes

    def __init__(self, images: torch.Tensor, labels: torch.Tensor) -> None:
        super().__init__()
        self.register_buffer("images", images)
        self.register_buffer("labels", labels)


class ImportedSampler:
    """Draws from the images of a folder.

    classes: of the data; the folder may hold images of some of them only. contents: a hash of the
    files that were read; '' where it is not known."""

    def __init__(
        self, settings: Imported, classes: tuple[str, ...], album: Album, contents: str = ""
    ) -> None:
        self.settings, self.classes, self.album = settings, classes, album
        self.contents = contents
        self.accepts = frozenset({"target"} if classes else ())
        self.size = tuple(int(side) for side in album.images.shape[1:])

    def sample(
        self, condition: Condition, seeds: Sequence[int], controls: Controls
    ) -> Iterator[np.ndarray]:
        """Blocks of uint8 [n, *size]. Raises a GobelinError for a class without images."""
        target = torch.full((len(seeds),), -1) if condition.target is None else condition.target
        places = [
            self._place(int(label), seed)
            for label, seed in zip(target.tolist(), seeds, strict=True)
        ]
        for start in range(0, len(places), controls.batch):
            yield self.album.images[places[start : start + controls.batch]].numpy()

    def _place(self, label: int, seed: int) -> int:
        """The row of the album that this seed draws, of the class `label`; -1 = of all."""
        labels = self.album.labels.numpy()
        able = np.arange(len(labels)) if label < 0 else np.flatnonzero(labels == label)
        if not len(able):
            raise GobelinError(
                f"imported: {self.settings.folder} holds no image of {self.classes[label]!r}. Add"
                " some, or ask for the other classes only: --per-class."
            )
        return int(able[numpy_generator(seed, "imported").integers(len(able))])

    def outdated(self) -> str:
        """Why the folder must be read again, in words; '' where it need not, or is gone."""
        root = Path(self.settings.folder).expanduser()
        if not self.contents or not root.is_dir():
            return ""
        same = files_of(root, class_files(root, self.size)[1]) == self.contents
        return "" if same else f"imported: the files in {root} have changed since they were read"

    def fingerprint(self) -> str:
        return weights.fingerprint(self.album, "imported", self.classes)

    def save(self, folder: Path) -> None:
        config: dict[str, Any] = {
            "settings": asdict(self.settings),
            "classes": self.classes,
            "size": self.size,
            "images": len(self.album.labels),
            "contents": self.contents,
        }
        weights.save(folder, config, self.album, IMPORTED_FORMAT)
