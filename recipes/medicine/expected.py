"""The aggregate figures of runs of this recipe, to compare with those of another machine.

python recipes/medicine/expected.py RUN ... [--write]

Each RUN is a run folder; its name is the key in `expected.json`. Without `--write`, the figures of
the runs are compared with those that are stored: the new value must lie within the stored interval.
Only sums, means and shares over many rows are stored, and no cell of any data set."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

EXPECTED = Path(__file__).parent / "expected.json"
NAMES = {  # of the findings that are kept
    *("macro_auroc", "balanced_accuracy", "set_coverage", "set_size", "risk_coverage_area"),
    *("answered", "error_of_answered", "names_labels", "recording_goes_with_target", "shortcut"),
    "gives_label_away",
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("runs", nargs="+", type=Path)
    parser.add_argument("--write", action="store_true", help="store the figures of these runs")
    given = parser.parse_args()
    stored = json.loads(EXPECTED.read_text(encoding="utf-8")) if EXPECTED.is_file() else {}
    found = {run.name: figures(run) for run in given.runs}
    if given.write:
        text = json.dumps(dict(sorted((stored | found).items())), indent=1)
        EXPECTED.write_text(text + "\n", encoding="utf-8")
        return
    wrong = [line for name, rows in found.items() for line in differences(stored, name, rows)]
    sys.exit("\n".join(wrong) if wrong else 0)


def figures(run: Path) -> list[dict[str, Any]]:
    """Name, scope, value and interval of the kept findings that speak of a run as a whole."""
    lines = (run / "findings.jsonl").read_text(encoding="utf-8").splitlines()
    rows = [json.loads(line) for line in lines if line]
    kept = [row for row in rows if row["name"] in NAMES and "class" not in row["scope"]]
    keys = ("name", "scope", "value", "low", "high", "n", "source")
    return [{key: _short(row.get(key)) for key in keys} for row in kept]


def differences(stored: dict[str, Any], name: str, rows: list[dict[str, Any]]) -> list[str]:
    """One line for each stored figure that is missing or lies elsewhere."""
    if name not in stored:
        return [f"{name}: no figures are stored. Store them with --write."]
    new = {json.dumps([r["name"], r["scope"], r["source"]]): r["value"] for r in rows}
    lines = []
    for row in stored[name]:
        key = json.dumps([row["name"], row["scope"], row["source"]])
        low, high = (row[k] if row[k] is not None else row["value"] for k in ("low", "high"))
        if key not in new:
            lines.append(f"{name}: {key} is not among the findings.")
        elif row["value"] is not None and not low - 0.05 <= new[key] <= high + 0.05:
            lines.append(f"{name}: {key} is {new[key]}, expected {low} to {high}.")
    return lines


def _short(value: Any) -> Any:  # noqa: ANN401 - a cell of a finding
    return round(value, 4) if isinstance(value, float) else value


if __name__ == "__main__":
    main()
