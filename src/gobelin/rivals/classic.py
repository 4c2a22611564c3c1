"""Classic augmentation: mirrored, shifted, turned and recoloured views of the real images, encoded once and cached."""

from __future__ import annotations

from dataclasses import asdict, dataclass

import numpy as np
from PIL import Image, ImageEnhance

from gobelin.data.dataset import made_rows
from gobelin.data.images import Opening, open_image, png_bytes
from gobelin.engine import in_order
from gobelin.rivals import Arm, Material
from gobelin.runtime import numpy_generator


@dataclass(frozen=True)
class Classic:
    """views: changed copies of every real image. mirror: chance of a left-right flip. turn: degrees either way. zoom: share
    cut off or added at most. colour: brightness, contrast and saturation change by up to this share."""

    views: int = 2
    mirror: float = 0.5
    turn: float = 12.0
    zoom: float = 0.15
    colour: float = 0.2

    def arm(self, material: Material) -> Arm:
        train = material.train.with_ids()
        values = train.values(material.column)
        parents = [r for r in range(len(train)) if isinstance(values[r], str | bytes)] * self.views
        seeds = [(parent, k) for k, parent in enumerate(parents)]

        def view(one: tuple[int, int]) -> bytes:
            image, _ = open_image(values[one[0]], train.root, Opening())
            rng = numpy_generator(material.seed, "classic", one[1])
            return png_bytes(np.asarray(self.change(image.convert("RGB"), rng)))

        images = list(in_order(view, seeds, material.workers))
        ids = [f"classic-{k}-{train.ids[p]}" for k, p in enumerate(parents)]
        lineage = [{"rule": "classic", "settings": asdict(self), "parents": [train.ids[p]]} for p in parents]
        added = made_rows(train.rows(np.array(parents, int)), {material.column: images}, ids, "view", lineage)
        return Arm("classic", train.join(added), np.ones(len(train) + len(added), np.float32))

    def change(self, image: Image.Image, rng: np.random.Generator) -> Image.Image:
        """One view of an RGB image; the border is filled with the colour of its corner."""
        corner = image.getpixel((0, 0))
        if rng.random() < self.mirror:
            image = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
        scale, angle = 1 + rng.uniform(-self.zoom, self.zoom), np.deg2rad(rng.uniform(-self.turn, self.turn))
        w, h = image.size
        dx, dy = rng.uniform(-self.zoom / 2, self.zoom / 2, 2) * (w, h)
        a, b = scale * np.cos(angle), scale * np.sin(angle)
        matrix = (a, b, w / 2 - a * w / 2 - b * h / 2 + dx, -b, a, h / 2 + b * w / 2 - a * h / 2 + dy)
        image = image.transform(image.size, Image.Transform.AFFINE, matrix, Image.Resampling.BILINEAR, fillcolor=corner)
        for enhance in (ImageEnhance.Brightness, ImageEnhance.Contrast, ImageEnhance.Color):
            image = enhance(image).enhance(1 + rng.uniform(-self.colour, self.colour))
        return image
