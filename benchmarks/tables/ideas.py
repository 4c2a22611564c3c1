"""Tables of ideas that were tried on some units and confirmed once on others."""

from __future__ import annotations

from typing import Any

import record

from tables.figures import percent

WAYS = ("to caption", "from caption")


def mesh_ideas() -> str:
    """What stands for a piece of furniture, on the folds that choose, and the best mesh against the
    best icon on the others."""
    rows = record.all_of("mesh_ideas")
    chosen = {row["contender"]: row for row in rows if row["part"] == "choose"}
    lines = [
        "| what stands for a piece, on the folds that choose | "
        + " | ".join(f"{way}, recall at 5" for way in WAYS)
        + " |",
        "|---|---|---|",
    ]
    for name, row in sorted(chosen.items(), key=lambda one: one[1]["recall@5, mean of both"]):
        lines.append(f"| {name} | {' | '.join(percent(row[way]['recall@5']) for way in WAYS)} |")
    confirmed = [row for row in rows if row["part"] == "confirm"]
    if confirmed:
        lines += [
            "",
            "| confirmed on the other folds, recall at 5 | way | the mesh | the other"
            " | gain, points |",
            "|---|---|---|---|---|",
        ]
    for row in confirmed:
        best, rival = row["contender"], row["rival"]
        for way in WAYS:
            ours, theirs = (percent(row[name][way]["recall@5"]) for name in (best, rival))
            gain = points(row[f"gain {way}, recall@5"])
            lines.append(f"| {best}, against {rival} | {way} | {ours} | {theirs} | {gain} |")
    return "\n".join(lines)


def sign_metric() -> str:
    """The share of names read, by what the metric was learned from, on the half of the names that
    chooses and on the other one."""
    rows = record.all_of("sign_metric")
    chosen = {row["scatter"]: row for row in rows if row["part"] == "choose"}
    confirmed = {k: v for row in rows if row["part"] == "confirm" for k, v in row["right"].items()}
    last = [row for row in rows if row["part"] == "confirm"][-1:]
    lines = [
        "| scatter learned from | half that chooses | other half, once | the chosen one over it,"
        " points |",
        "|---|---|---|---|",
    ]
    for name, row in chosen.items():
        other = percent(confirmed[name]) if name in confirmed else "-"
        gain = last[0]["gain over"].get(name) if last else None
        cells = [f"{100 * row['right']:.1f} %", other, points(gain) if gain else "-"]
        mark = " (chosen)" if last and last[0]["scatter"] == name else ""
        lines.append(f"| {name}{mark} | {' | '.join(cells)} |")
    return "\n".join(lines)


def points(figure: dict[str, Any]) -> str:
    """A difference of shares, in points."""
    value, low, high = (100 * figure[k] for k in ("value", "low", "high"))
    return f"{value:+.1f} ({low:+.1f} to {high:+.1f})"
