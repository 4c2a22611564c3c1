"""Classic augmentation: changed views of the real images, encoded once and cached.

A view is mirrored, cropped or scaled down, turned, shifted and recoloured, or it gets two random
operations of RandAugment (Cubuk et al. 2020). Some views are blended with another image of their
class (mixup, Zhang et al. 2018; within a class, so that the view has one answer). Views of volumes
are mirrored, turned about every axis, scaled, moved and recoloured (`volume_views`), and blended in
the same way.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict

import numpy as np
from PIL import Image, ImageEnhance, ImageOps

from gobelin.augmentation.rivals import Arm, RivalInput
from gobelin.augmentation.volume_views import VIEW_SIDE, VolumeChange
from gobelin.core.config import setting, settings_class
from gobelin.core.machine import numpy_generator
from gobelin.core.workers import in_order
from gobelin.data.dataset import derived_rows
from gobelin.data.image.images import Opening, open_image, png_bytes
from gobelin.data.media import medium

Operation = Callable[[Image.Image, float], Image.Image]  # (image, strength from -1 to 1) -> image


def _enhanced(kind: Callable[[Image.Image], ImageEnhance._Enhance]) -> Operation:
    return lambda image, strength: kind(image).enhance(1 + 0.9 * strength)


def _moved(by: Callable[[float, int, int], tuple[float, ...]]) -> Operation:
    """by: (strength, width, height) -> the six numbers of an affine map."""
    return lambda image, strength: image.transform(
        image.size,
        Image.Transform.AFFINE,
        by(strength, *image.size),
        Image.Resampling.BILINEAR,
        fillcolor=image.getpixel((0, 0)),
    )


OPERATIONS: dict[str, Operation] = {
    "autocontrast": lambda image, strength: ImageOps.autocontrast(image),
    "equalize": lambda image, strength: ImageOps.equalize(image),
    "posterize": lambda image, strength: ImageOps.posterize(image, 8 - round(4 * abs(strength))),
    "solarize": lambda image, strength: ImageOps.solarize(image, 255 - round(255 * abs(strength))),
    "colour": _enhanced(ImageEnhance.Color),
    "contrast": _enhanced(ImageEnhance.Contrast),
    "brightness": _enhanced(ImageEnhance.Brightness),
    "sharpness": _enhanced(ImageEnhance.Sharpness),
    "turn": lambda image, strength: image.rotate(
        30 * strength, Image.Resampling.BILINEAR, fillcolor=image.getpixel((0, 0))
    ),
    "shear across": _moved(lambda s, w, h: (1, 0.3 * s, -0.15 * s * h, 0, 1, 0)),
    "shear down": _moved(lambda s, w, h: (1, 0, 0, 0.3 * s, 1, -0.15 * s * w)),
    "shift across": _moved(lambda s, w, h: (1, 0, 0.3 * s * w, 0, 1, 0)),
    "shift down": _moved(lambda s, w, h: (1, 0, 0, 0, 1, 0.3 * s * h)),
}


@settings_class
class Classic:
    """Settings."""

    views: int = setting(
        default=2, ge=1, le=100, description="Changed copies of each real image, at least."
    )
    mirror: float = setting(default=0.5, ge=0, le=1, description="Chance of a left-right flip.")
    turn: float = setting(
        default=12.0, ge=0, le=180, description="Largest rotation in degrees, to either side."
    )
    zoom: float = setting(default=0.15, ge=0, le=0.9, description="Largest share cut off or added.")
    colour: float = setting(
        default=0.2,
        ge=0,
        le=1,
        description="Largest change of brightness, contrast and saturation.",
    )
    randaugment: float = setting(
        default=0.3,
        ge=0,
        le=1,
        description="Chance that a view of an image is one of RandAugment instead.",
    )
    magnitude: float = setting(default=0.3, ge=0, le=1, description="Strength of RandAugment.")
    mixup: float = setting(
        default=0.1,
        ge=0,
        le=1,
        description="Chance that a view is blended with another image of its class.",
    )
    alpha: float = setting(
        default=0.2,
        ge=1e-3,
        le=100,
        description="Parameter of the Beta distribution of the blending weights.",
    )

    def arm(self, source: RivalInput) -> Arm:
        train = source.train.with_ids()
        values, classes = train.values(source.column), source.classes
        opening = train.opening(source.column)
        usable = [r for r in range(len(train)) if isinstance(values[r], str | bytes)]
        views = max(self.views, -(-len(source.plan) // max(len(usable), 1)))
        turns = [
            numpy_generator(source.seed, "classic", "order", v).permutation(usable)
            for v in range(views)
        ]
        parents = [
            int(r) for turn in turns for r in turn
        ]  # every row once before any row a second time

        def opened(row: int) -> Image.Image:
            plain = opening if isinstance(opening, Opening) else Opening()
            return open_image(values[row], train.root, plain)[0].convert("RGB")

        def mate(row: int, rng: np.random.Generator) -> tuple[int, float] | None:
            """Another row of the class and its weight, where the view of this row is blended."""
            if rng.random() >= self.mixup or classes is None:
                return None
            mates = [r for r in usable if classes[r] == classes[row]]
            other = mates[rng.integers(len(mates))]
            weight = rng.beta(self.alpha, self.alpha)
            return other, min(weight, 1 - weight)

        def view(numbered: tuple[int, int]) -> bytes:
            number, row = numbered
            rng, image = numpy_generator(source.seed, "classic", number), opened(row)
            if (blended := mate(row, rng)) is not None:
                other = opened(blended[0]).resize(image.size, Image.Resampling.BILINEAR)
                image = Image.blend(image, other, blended[1])
            return png_bytes(np.asarray(self.change(image, rng)))

        def volume_view(numbered: tuple[int, int]) -> bytes:
            number, row = numbered
            rng, of_kind = numpy_generator(source.seed, "classic", number), medium(source.kind)
            volume = of_kind.opened(values[row], train.root, opening, VIEW_SIDE)
            if (blended := mate(row, rng)) is not None:
                other = of_kind.opened(values[blended[0]], train.root, opening, VIEW_SIDE)
                both = (1 - blended[1]) * volume + blended[1] * other
                volume = np.rint(both).astype(np.uint8)
            change = VolumeChange(self.mirror, self.turn, self.zoom, self.colour)
            return of_kind.cell(change.view(volume, rng))

        made = view if source.kind == "image" else volume_view
        images = list(in_order(made, list(enumerate(parents)), source.workers))
        ids = [f"classic-{k}-{train.ids[p]}" for k, p in enumerate(parents)]
        lineage = [
            {"rule": "classic", "settings": asdict(self), "parents": [train.ids[p]]}
            for p in parents
        ]
        added = derived_rows(
            train.rows(np.array(parents, int)), {source.column: images}, ids, "view", lineage
        )
        return Arm("classic", train.join(added), np.ones(len(train) + len(added), np.float32))

    def change(self, image: Image.Image, rng: np.random.Generator) -> Image.Image:
        """One view of an RGB image. The border gets the colour of the upper left corner."""
        if rng.random() < self.randaugment:
            for name in rng.choice(sorted(OPERATIONS), 2):
                image = OPERATIONS[str(name)](image, self.magnitude * rng.choice([-1.0, 1.0]))
            return image
        corner = image.getpixel((0, 0))
        if rng.random() < self.mirror:
            image = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
        scale, angle = (
            1 + rng.uniform(-self.zoom, self.zoom),
            np.deg2rad(rng.uniform(-self.turn, self.turn)),
        )
        w, h = image.size
        dx, dy = rng.uniform(-self.zoom / 2, self.zoom / 2, 2) * (w, h)
        a, b = scale * np.cos(angle), scale * np.sin(angle)
        matrix = (
            a,
            b,
            w / 2 - a * w / 2 - b * h / 2 + dx,
            -b,
            a,
            h / 2 + b * w / 2 - a * h / 2 + dy,
        )
        image = image.transform(
            image.size, Image.Transform.AFFINE, matrix, Image.Resampling.BILINEAR, fillcolor=corner
        )
        for enhance in (ImageEnhance.Brightness, ImageEnhance.Contrast, ImageEnhance.Color):
            image = enhance(image).enhance(1 + rng.uniform(-self.colour, self.colour))
        return image
