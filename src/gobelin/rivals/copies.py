"""The training images themselves in the place of made ones: a generator that only copies is worth no more than this."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from gobelin.data.dataset import made_rows
from gobelin.rivals import Arm, Material


@dataclass(frozen=True)
class Copies:
    """No settings: the rows are the parents of the made images, one by one, so scarce classes are repeated as the plan says
    (random oversampling)."""

    def arm(self, material: Material) -> Arm:
        train = material.train.with_ids()
        values = train.values(material.column)
        parents = [int(p) for p in material.plan if isinstance(values[p], str | bytes)]
        ids = [f"copies-{k}-{train.ids[p]}" for k, p in enumerate(parents)]
        lineage = [{"rule": "copies", "parents": [train.ids[p]]} for p in parents]
        images = {material.column: [values[p] for p in parents]}
        added = made_rows(train.rows(np.array(parents, int)), images, ids, "view", lineage)
        return Arm("copies", train.join(added), np.ones(len(train) + len(added), np.float32))
