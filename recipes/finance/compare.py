"""Compare the findings of a run of the finance recipe with those that were expected.

    python recipes/finance/compare.py runs/finance [--write]

expected.json holds aggregate numbers alone: counts, scores, returns and verdicts, no price and no
row. Counts and verdicts must be equal; scores may differ by the machine's rounding, within the
tolerance that stands there. --write makes the file from the run.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

EXPECTED = Path(__file__).parent / "expected.json"
COUNTS = ("rows", "look_ahead", "series_faults", "tells_more_than_the_past")
SCORES = {"balanced_accuracy": 0.03, "net_return": 0.002, "cross_fitted_score": 0.03}
Key = tuple[str, str]


def found_in(run: Path) -> dict[Key, dict[str, Any]]:
    """{(name, scope): finding} of `check` and `evaluate`."""
    out = {}
    for verb in ("check", "evaluate"):
        for line in (run / "verbs" / verb / "findings.jsonl").read_text("utf-8").splitlines():
            row = json.loads(line)
            if row["name"] in COUNTS or row["name"] in SCORES:
                if row["name"] != "balanced_accuracy" or not row["scope"]:
                    out[row["name"], json.dumps(row["scope"], sort_keys=True)] = row
    return out


def expected(found: dict[Key, dict[str, Any]]) -> list[dict[str, Any]]:
    """The lines of expected.json."""
    return [
        {
            "name": name,
            "scope": json.loads(scope),
            "value": round(row["value"], 5),
            "tolerance": SCORES.get(name, 0.0),
            "n": row["n"],
            "verdict": row["verdict"],
        }
        for (name, scope), row in found.items()
    ]


def differences(found: dict[Key, dict[str, Any]], lines: list[dict[str, Any]]) -> list[str]:
    """A line for each finding that is missing, new, or has another value, count or verdict."""
    out, seen = [], set()
    for one in lines:
        key = one["name"], json.dumps(one["scope"], sort_keys=True)
        seen.add(key)
        row = found.get(key)
        if row is None:
            out.append(f"{key[0]} {key[1]}: missing")
            continue
        if abs(row["value"] - one["value"]) > one["tolerance"] + 1e-5:
            out.append(f"{key[0]} {key[1]}: {row['value']:.5f}, expected {one['value']}")
        out += [
            f"{key[0]} {key[1]}: {what} {row[what]!r}, expected {one[what]!r}"
            for what in ("n", "verdict")
            if row[what] != one[what]
        ]
    return out + [f"{name} {scope}: new" for name, scope in found.keys() - seen]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", type=Path)
    parser.add_argument("--write", action="store_true")
    given = parser.parse_args()
    found = found_in(given.run)
    if given.write:
        lines = ",\n".join(json.dumps(one) for one in expected(found))
        EXPECTED.write_text(f"[\n{lines}\n]\n", encoding="utf-8")
        return
    if wrong := differences(found, json.loads(EXPECTED.read_text("utf-8"))):
        sys.exit("\n".join(wrong))
    sys.stdout.write(f"{len(found)} findings are as expected\n")


if __name__ == "__main__":
    main()
