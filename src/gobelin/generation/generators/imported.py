"""Images that were made elsewhere, by a simulator, a renderer or a model on another machine, so
that they meet the same rivals, screens and audits as those of any generator here.

They lie in one folder a class. Asked for a class, it draws one of that class's images by the seed;
asked for nothing, one of all. Nothing is learned and nothing is checked of how they came about: if
whoever made them saw validation or test rows, the verdict is worth nothing. Near copies of those
rows are screened out as always, which a model trained on them passes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from torch import nn

from gobelin.core import weights
from gobelin.core.errors import GobelinError
from gobelin.core.machine import Runtime, numpy_generator
from gobelin.data.files import BadCell
from gobelin.data.images import IMAGE_SUFFIXES, Opening, fitted, open_image
from gobelin.generation.generators import Condition, Context, Controls, ImageRows

FORMAT = 1  # of the saved folder


@dataclass(frozen=True)
class Imported:
    """folder: of one folder a class, named like the class, with images in it."""

    folder: str = ""

    accepts: ClassVar[frozenset[str]] = frozenset({"target"})
    licence: ClassVar[str] = "that of the images"
    cost: ClassVar[str] = "no training; the images are read once and kept in the run"

    def steps_for(self, rows: ImageRows, runtime: Runtime, minutes: float) -> int:
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
        files = sorted(
            p for p in root.glob("*/**/*") if p.suffix.lower() in IMAGE_SUFFIXES and p.is_file()
        )
        names = {name: k for k, name in enumerate(train.classes)}
        kinds = sorted({p.relative_to(root).parts[0] for p in files})
        if not files or (unknown := [k for k in kinds if names and k not in names]):
            what = (
                f"{unknown[0]} is no class of the data"
                if files
                else "holds no class folder with images"
            )
            raise GobelinError(
                f"imported: {root}: {what}. One folder a class ({', '.join(list(names)[:5])} ...)"
                " was expected."
            )
        h, w, c = train.images.shape[1:]
        images = []
        for place, path in enumerate(files):
            try:
                images.append(fitted(open_image(path.read_bytes(), root, Opening())[0], (h, w, c)))
            except (BadCell, OSError) as error:
                raise GobelinError(f"imported: {path}: {error}. Mend or remove it.") from error
            if place % 256 == 255:
                context.progress("read images", place + 1, len(files))
        labels = [names.get(p.relative_to(root).parts[0], -1) for p in files]
        return ImportedSampler(
            self, train.classes, Album(torch.from_numpy(np.stack(images)), torch.tensor(labels))
        )

    def load(self, folder: Path, runtime: Runtime) -> ImportedSampler:
        said = weights.config_of(folder, FORMAT)
        h, w, c = said["size"]
        album = Album(
            torch.zeros(said["images"], h, w, c, dtype=torch.uint8),
            torch.zeros(said["images"], dtype=torch.long),
        )
        weights.fill(folder, said, album)
        return ImportedSampler(Imported(**said["settings"]), tuple(said["classes"]), album)


class Album(nn.Module):
    """images: uint8 [M, H, W, C]. labels: int64 [M], -1 where there are no classes."""

    images: torch.Tensor
    labels: torch.Tensor

    def __init__(self, images: torch.Tensor, labels: torch.Tensor) -> None:
        super().__init__()
        self.register_buffer("images", images)
        self.register_buffer("labels", labels)


class ImportedSampler:
    """classes: of the data; the folder may hold images of some of them only."""

    def __init__(self, settings: Imported, classes: tuple[str, ...], album: Album) -> None:
        self.settings, self.classes, self.album = settings, classes, album
        self.accepts = frozenset({"target"} if classes else ())
        h, w, c = album.images.shape[1:]
        self.size = (int(h), int(w), int(c))

    def sample(
        self, condition: Condition, seeds: Sequence[int], controls: Controls
    ) -> Iterator[np.ndarray]:
        target = torch.full((len(seeds),), -1) if condition.target is None else condition.target
        places = [
            self._place(int(label), seed)
            for label, seed in zip(target.tolist(), seeds, strict=True)
        ]
        for start in range(0, len(places), controls.batch):
            yield self.album.images[places[start : start + controls.batch]].numpy()

    def _place(self, label: int, seed: int) -> int:
        own = (
            np.arange(len(self.album.labels))
            if label < 0
            else np.flatnonzero(self.album.labels.numpy() == label)
        )
        if not len(own):
            raise GobelinError(
                f"imported: {self.settings.folder} holds no image of {self.classes[label]!r}. Add"
                " some, or ask for the other classes only: --per-class."
            )
        return int(own[numpy_generator(seed, "imported").integers(len(own))])

    def fingerprint(self) -> str:
        return weights.fingerprint(self.album, "imported", self.classes)

    def save(self, folder: Path) -> None:
        said: dict[str, Any] = {
            "settings": asdict(self.settings),
            "classes": self.classes,
            "size": self.size,
        }
        weights.save(folder, {**said, "images": len(self.album.labels)}, self.album, FORMAT)
