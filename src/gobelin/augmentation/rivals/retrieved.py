"""Real images of the same data set that nobody labelled, with the model's answers.

They are found and not generated. Where every row has an answer there is no such arm.

What this cannot show: what these rows are worth with the right answers, for the model's mistakes
come along; nor what a larger pool would do.
"""

from __future__ import annotations

import numpy as np

from gobelin.augmentation.rivals import Arm, RivalInput
from gobelin.core.config import setting, settings_class
from gobelin.data.dataset import derived_rows


@settings_class
class Retrieved:
    """Settings."""

    least: float = setting(
        default=0.5, ge=0, le=1, description="Certainty from which an unlabelled row is taken."
    )

    def arm(self, source: RivalInput) -> Arm | None:
        train, pool = source.train.with_ids(), source.pool
        if pool is None or not len(pool.rows):
            return None
        classes = np.zeros(len(train), np.int64) if source.classes is None else source.classes
        order = [
            int(k) for k in np.argsort(-pool.sure, kind="stable") if pool.sure[k] >= self.least
        ]
        surest = {
            int(c): [k for k in order if pool.classes[k] == c] for c in np.unique(pool.classes)
        }
        queues = [surest.get(int(classes[parent]), []) for parent in source.plan]
        taken = [(k, queue.pop(0)) for k, queue in enumerate(queues) if queue]
        if not taken:
            return None
        rows = pool.rows.rows(np.array([t for _, t in taken], int))
        lineage = [
            {"rule": "retrieved", "parents": [i], "sure": round(float(pool.sure[t]), 4)}
            for i, (_, t) in zip(rows.ids, taken, strict=True)
        ]
        ids = [f"retrieved-{i}" for i in rows.ids]
        joined = train.join(
            derived_rows(
                rows, {pool.target: [pool.answers[t] for _, t in taken]}, ids, "view", lineage
            )
        )
        weights, order_in_plan = (
            np.ones(len(joined), np.float32),
            np.array([k for k, _ in taken], np.int64),
        )
        return Arm("retrieved", joined, weights, order=order_in_plan)
