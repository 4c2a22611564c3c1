"""What `describe` lists of many fields. Oracle: the whole list."""

from __future__ import annotations

from itertools import product
from pathlib import Path

import numpy as np
import pytest
from presets import SMALL

from gobelin import Workbench
from gobelin.core import config
from gobelin.workbench import describe

LEFT, RIGHT = "red blue pale dark".split(), "owl fox hen cat dog".split()
FIELDS = 6  # of texts: 15 pairs


def test_of_many_pairs_of_fields_those_that_agree_least_are_listed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rng = np.random.default_rng(0)
    words = [" ".join(pair) for pair in product(LEFT, RIGHT)]
    table = ["kind," + ",".join(f"t{k}" for k in range(FIELDS))]
    for row in range(120):
        texts = [words[(row + 7 * (rng.random() < 0.2)) % 20] for _ in range(FIELDS)]
        table.append(f"{'ab'[row % 2]}," + ",".join(texts))
    (tmp_path / "rows.csv").write_text("\n".join(table))
    texts = [f"schema.t{k}=text" for k in range(FIELDS)]
    settings = config.assignments([*SMALL, *texts])
    bench = Workbench(tmp_path / "rows.csv", "kind", tmp_path / "run", settings)
    bench.fit()

    def listed(most: int) -> list[tuple[str, float | None, str]]:
        monkeypatch.setattr(describe, "MOST_PAIRS", most)
        found = [f for f in bench.describe(row="3") if f.name == "agreement"]
        return [(f.scope["fields"], f.value, f.note) for f in found]

    every = listed(99)
    assert len(every) == 15 and "not listed" not in str(every)
    least = sorted(every, key=lambda pair: pair[1] or 0.0)
    for most in (10, 14):
        *pairs, last = listed(most)
        assert pairs == least[: most - 1] and last[:2] == least[most - 1][:2]
        left = 15 - most
        assert last[2].endswith(f"; {left} pair{'s'[: left - 1]} agree better: not listed")
