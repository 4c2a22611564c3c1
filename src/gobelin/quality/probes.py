"""Probes: what an image encoder that the run does not use can read from an image."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from gobelin.core import catalog
from gobelin.core.errors import MissingExtra
from gobelin.core.machine import Runtime, numpy_generator
from gobelin.data.fields import Schema
from gobelin.data.media import medium_of
from gobelin.embedding.alignment.align import Align, Alignment
from gobelin.embedding.alignment.fitting import fit_alignment
from gobelin.embedding.encoders import FittedEncoder, TrainingCells, reading
from gobelin.embedding.features import Embeddings

MOST_QUERIES = 256  # unseen rows that a field is tested with; images of all classes together
PROBE_FOLDS = 5  # probes that are cross-fitted on training rows
CLOSED_FORM = ("pixels", "voxels")  # encoders without weights


@dataclass(frozen=True)
class IndependentEncoder:
    """An image encoder that the run itself does not use; it judges generated images."""

    name: str
    encoder: FittedEncoder

    @staticmethod
    def choose(schema: Schema, runtime: Runtime, kind: str = "image") -> IndependentEncoder | None:
        """An encoder of images (or of another medium, `kind`) that no field of the schema has; None
        where none can be loaded here.

        'pixels' or 'voxels', which need no weights, come first; then the default one; then any.
        """
        used = {f.encoder for f in schema.fields}
        unused = [name for name in reading(kind) if name not in used]
        for name in sorted(
            unused, key=lambda n: (n not in CLOSED_FORM, not catalog.find("encoders", n).default)
        ):
            try:
                field = next(f for f in schema.fields if f.kind == kind)
                encoder = catalog.build("encoders", name).fit(TrainingCells([]), field, {}, runtime)
                return IndependentEncoder(name, encoder)
            except MissingExtra:
                continue
        return None

    def features(self, images: np.ndarray) -> np.ndarray:
        """float32 [n, D] of uint8 images [n, H, W, C], or volumes [n, D, H, W, C]."""
        of_kind = medium_of(images)
        return self.encoder.embed(
            [self.encoder.decode({"image": of_kind.cell(i)}, Path())[0] for i in images]
        )


@dataclass(frozen=True)
class LinearProbe:
    """Linear maps of image features and of one field's values into a common space.

    The maps are the closed-form alignment of the two (`Align` without training steps).
    """

    alignment: Alignment

    @staticmethod
    def fit(features: np.ndarray, values: np.ndarray, runtime: Runtime) -> LinearProbe:
        """features [N, D] of training images, values [N, E] of the field in the same rows."""
        both = _pair(features, values)
        linear = Align(steps=0, components=192, landmarks=0, power=1.0)
        return LinearProbe(fit_alignment(linear, both, both.ids, runtime))

    def cosines(self, features: np.ndarray, values: np.ndarray) -> np.ndarray:
        """float32 [n, m]: of every image [n, D] with every candidate value [m, E]."""
        # an Embeddings holds both fields in every row; the one that isn't used is 0
        no_values = np.zeros((len(features), values.shape[1]), np.float32)
        no_images = np.zeros((len(values), features.shape[1]), np.float32)
        image = self.alignment.project(_pair(features, no_values)).of("image")
        return image @ self.alignment.project(_pair(no_images, values)).of("value").T

    def paired(self, features: np.ndarray, values: np.ndarray) -> np.ndarray:
        """float32 [n]: the cosine of each image [n, D] with the value [n, E] of the same row."""
        both = self.alignment.project(_pair(features, values))
        return (both.of("image") * both.of("value")).sum(1)


def _pair(features: np.ndarray, values: np.ndarray) -> Embeddings:
    """Embeddings [n rows] of two fields, 'image' [n, D] and 'value' [n, E]."""
    ids = tuple(str(k) for k in range(len(features)))
    return Embeddings(
        ("image", "value"),
        {"image": features, "value": values},
        np.ones((len(features), 2), bool),
        ids,
        "reading",  # the fingerprint: of nothing on disk
    )


def hits(cosines: np.ndarray, candidates: int) -> np.ndarray:
    """float64 [n]: how often image i finds its own value first among M candidates.

    cosines [n, n], image by value; candidates: M. The mean over all sets of M values with value i
    among them, exactly: if w of the n - 1 other values have a smaller cosine with image i, it is
    C(w, M - 1) / C(n - 1, M - 1). A tie counts against the image.
    """
    n = len(cosines)
    behind = (cosines < cosines.diagonal()[:, None]).sum(1)  # w, [n]
    share = np.ones(n)
    for k in range(candidates - 1):
        share *= np.clip(behind - k, 0, None) / (n - 1 - k)
    return share


def distinct_rows(
    rows: np.ndarray, groups: Sequence[str], values: np.ndarray, seed: int, most: int = MOST_QUERIES
) -> np.ndarray:
    """int64 [n]: a random choice of these rows, no two of one group or of one value.

    rows: candidates. groups: [N] of all rows. values: [N, E]. most: largest n.
    """
    taken: set[object] = set()
    chosen: list[int] = []
    for row in numpy_generator(seed, "condition match").permutation(rows):
        names = {("group", groups[row]), ("value", values[row].tobytes())}
        if not names & taken and len(chosen) < most:
            taken |= names
            chosen.append(int(row))
    return np.array(sorted(chosen), dtype=np.int64)


def folds(groups: Sequence[str], seed: int) -> np.ndarray:
    """int64 [N] in 0 .. PROBE_FOLDS - 1. Rows of one group lie in one fold; folds have nearly
    equally many groups.
    """
    names, group = np.unique(np.asarray(groups), return_inverse=True)
    rng = numpy_generator(seed, "condition match", "folds")
    return (rng.permutation(len(names)) % PROBE_FOLDS)[group]
