"""Real images reduced to the generator's size and back, in the place of made ones: otherwise blur is mistaken for content."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from gobelin.data.dataset import made_rows
from gobelin.data.images import Opening, open_image, png_bytes, squared
from gobelin.engine import in_order
from gobelin.rivals import Arm, Material


@dataclass(frozen=True)
class GeneratorSize:
    """No settings: the rows are the parents of the made images, one by one."""

    def arm(self, material: Material) -> Arm:
        train = material.train.with_ids()
        values = train.values(material.column)
        parents = [int(p) for p in material.plan if isinstance(values[p], str | bytes)]

        def small(parent: int) -> bytes:
            return png_bytes(squared(open_image(values[parent], train.root, Opening())[0], material.size))

        images = list(in_order(small, parents, material.workers))
        ids = [f"generator_size-{k}-{train.ids[p]}" for k, p in enumerate(parents)]
        lineage = [{"rule": "generator_size", "size": material.size, "parents": [train.ids[p]]} for p in parents]
        added = made_rows(train.rows(np.array(parents, int)), {material.column: images}, ids, "view", lineage)
        return Arm("generator_size", train.join(added), np.ones(len(train) + len(added), np.float32))
