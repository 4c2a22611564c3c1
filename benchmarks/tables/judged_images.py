"""Tables about judging: what leaks of rows, and whether verdicts and findings hold what they
promise."""

from __future__ import annotations

from typing import Any

import published
import record

from tables.figures import percent


def privacy() -> str:
    """What epsilon costs: the newest line of each cell, its seeds together."""
    newest = {
        (row["set"], row["generator"], row["epsilon"], row["seed"]): row
        for row in record.all_of("privacy")
        if "generator" in row
    }
    lines = [
        "| images to learn from | epsilon | seeds | accuracy of a model trained on them alone |"
        " distance to real ones | added to real images | members found at 1 % |"
        " epsilon is at least | membership |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for name, generator, epsilon in dict.fromkeys(key[:3] for key in newest):
        rows = [row for key, row in newest.items() if key[:3] == (name, generator, epsilon)]
        accuracy = percent(over_seeds([list(row["accuracy"].values())[:3] for row in rows]))
        distances = [row["distance"] for row in rows]
        distance = f"{sum(distances) / len(rows):.3f}"
        if len(rows) > 1:
            distance += f" ({min(distances):.3f} to {max(distances):.3f})"
        cells = f"| {name}: {generator} | {epsilon} | {len(rows)} | {accuracy} | {distance} |"
        studied = [row for row in rows if "verdict" in row]
        some = f" ({len(studied)} of {len(rows)} seeds)" if len(studied) < len(rows) else ""
        cells += f" {_added(studied)}{some if studied else ''} |"
        if "members_found" in rows[0]:
            found = percent(over_seeds([row["members_found"] for row in rows]))
            bound = max(row["epsilon_at_least"] for row in rows)
            words = "; ".join(dict.fromkeys(row["membership"] for row in rows))
            cells += f" {found} | {bound:.2f} | {words} |"
        else:
            cells += "  |  |  |"
        lines.append(cells)
    for method, epsilon, accuracy in published.PRIVATE_IMAGES:
        lines.append(
            f"| *{method}, as published* | {epsilon} |  | {100 * accuracy:.1f} % |  |  |  |  |  |"
        )
    private = [row for row in newest.values() if "members_found" in row]
    control = min(row["control_found"][0] for row in private)
    sizes = {row["set"]: (row["rows"], row["accuracy"]["n"]) for row in private}
    told = "; ".join(f"{name} {n:,} and {held:,}" for name, (n, held) in sizes.items())
    steps = {(row["generator"], row["set"]): row for row in private}
    counts = ", ".join(
        f"{generator} on {name} {row['steps']} ({row['cpu_seconds']:.0f} s)"
        for (generator, name), row in steps.items()
    )
    return "\n".join(
        [
            *lines,
            "",
            f"Images to learn from and held out: {told}. Steps, and the time of one cell on one"
            f" core: {counts}. Intervals reach from the lowest to the highest end over the seeds."
            f" Of the over-fitted control at least {100 * control:.0f} % of members were found."
            f" Published figures: {published.PRIVATE_IMAGES_SOURCE}, of 50,000 training images"
            ".",
        ]
    )


def _added(rows: list[dict[str, Any]]) -> str:
    """What a study says of generated images that are added to real ones, over seeds."""
    if not rows:
        return ""
    words = "; ".join(dict.fromkeys(row["verdict"] for row in rows))
    both = over_seeds([row["difference"] for row in rows])
    ends = (f"{100 * both[end]:+.1f}" for end in ("value", "low", "high"))
    return "{}, {} points ({} to {})".format(words, *ends)


def over_seeds(figures: list[list[float]]) -> dict[str, float]:
    """Mean value, lowest low and highest high of [value, low, high] lists."""
    values, lows, highs = zip(*figures, strict=True)
    return {"value": sum(values) / len(values), "low": min(lows), "high": max(highs)}


def copying() -> str:
    """Planted copies caught and healthy images called copies; then what a generator memorised."""
    rows = record.latest("copying", "cell")
    kinds = ("exact", "noisy", "flipped", "cropped", "blurred", "recoloured", "overlaid")

    def share(figure: list[float]) -> str:
        return f"{100 * figure[0]:.0f} % ({100 * figure[1]:.0f} to {100 * figure[2]:.0f})"

    lines = [
        (
            f"| real images (trained on, held out) | {' | '.join(kinds)} | healthy images called"
            " copies | a tenth of copies: called copying | healthy sets: called copying |"
        ),
        "|---|" + "---|" * (len(kinds) + 3),
    ]
    for name, row in rows.items():
        if "false_alarms" in row:
            cells = [
                share(row[key])
                for key in (
                    *(f"caught_{k}" for k in kinds),
                    "false_alarms",
                    "mixtures_called",
                    "healthy_called",
                )
            ]
            lines.append(
                f"| {name} ({row['train']:,}, {row['holdout']}), {row['pixels']} px |"
                f" {' | '.join(cells)} |"
            )
    lines += [
        "",
        "| a small `flow`, trained on | generated images that are copies | verdict |",
        "|---|---|---|",
    ]
    for name, row in rows.items():
        if name.startswith("memorised"):
            shown = f"{row['images']:,} images" + (
                f" in {row['views']:,} views" if row["views"] > row["images"] else ""
            )
            lines.append(
                f"| {shown}, {row['steps']:,} steps | {share(row['copies'])} | {row['verdict']} |"
            )
    return "\n".join(lines)


def membership() -> str:
    """False alarms of the membership audit, planted leaks, and what a generator memorised."""
    rows = record.latest("membership", "cell")

    def share(figure: list[float] | None, digits: int = 0) -> str:
        if figure is None or figure[0] is None:
            return "too few"
        value, low, high = (100 * f for f in figure)
        return f"{value:.{digits}f} % ({low:.{digits}f} to {high:.{digits}f})"

    def area(figure: list[float]) -> str:
        return "{:.3f} ({:.3f} to {:.3f})".format(*figure)

    lines = [
        (
            "| simulated studies | studies | called distinguishable | all-clear | mean area |"
            " area's interval holds 0.5 | epsilon above 0 |"
        ),
        "|---|---|---|---|---|---|---|",
    ]
    for name, row in rows.items():
        if "studies" in row:
            lines.append(
                f"| {name} | {row['studies']} | {row['distinguishable']}: {share(row['share'])} |"
                f" {row['cleared']} | {row['area']:.3f} | {row['area_holds_half']} |"
                f" {row['epsilon_above_0']} |"
            )
    lines += [
        "",
        (
            "| a small `flow`, trained on | attack by | area | found at 1 % | found at 0.1 % |"
            " p of the set | epsilon at least | over-fitted control found | verdict |"
        ),
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for row in sorted(rows.values(), key=lambda row: row.get("images", 0)):
        for attack in ("distance", "loss") if "images" in row else ():
            found = [share(row[f"{attack}_found_at_{rate}"], 1) for rate in ("1", "0.1")]
            lines.append(
                f"| {row['images']:,} images, {row['steps']:,} steps | {attack} |"
                f" {area(row[f'{attack}_area'])} | {found[0]} | {found[1]} |"
                f" {row[f'{attack}_p']:.2g} | {row[f'{attack}_epsilon']:.2f} |"
                f" {share(row['control_found'])} | {row['verdict']} |"
            )
    return "\n".join(lines)


def verdicts() -> str:
    """The studies whose plan was fixed before their test rows were opened, an arm a line."""

    def points(gain: dict[str, float]) -> str:
        return f"{100 * gain['value']:+.1f} ({100 * gain['low']:+.1f} to {100 * gain['high']:+.1f})"

    lines = [
        (
            "| study (test units) | arm | verdict | over its baseline, points | over the best"
            " rival, points |"
        ),
        "|---|---|---|---|---|",
    ]
    for name, row in record.latest("verdicts", "study").items():
        if row["purpose"] == "confirm":
            for arm, verdict in row["verdicts"].items():
                own = {
                    key.split(" over ")[1]: gain
                    for key, gain in row["gains"].items()
                    if key.startswith(f"{arm} over ")
                }
                base = "classic" if arm.startswith("classic + ") else "real"
                rival = min(
                    (k for k in own if k not in (base, "real")),
                    key=lambda k, own=own: own[k]["value"],
                )
                what = (
                    f"{name.removeprefix('confirm: ')} ({own[base]['n']:,}) | {arm} |"
                    f" {verdict['word']}"
                )
                lines.append(
                    f"| {what} | {points(own[base])}, {base} | {points(own[rival])}, {rival} |"
                )
    return "\n".join(lines)


def verdict() -> str:
    """Heads of a whole study, together and one at a time."""
    lines = [
        (
            "| 910 heads | together | one at a time | times faster | processor time alone | largest"
            " difference of a probability |"
        ),
        "|---|---|---|---|---|---|",
    ]
    rows = {
        (row["head"], row["way"]): row for row in record.all_of("verdict") if row["heads"] == 910
    }
    for head in dict.fromkeys(h for h, _ in rows):
        one, other = (rows[head, way] for way in ("together", "one at a time"))
        times, own = one["times_faster"], other["processor_seconds"] / one["processor_seconds"]
        ratio = (
            f"{times['median']:.1f} ({times['lowest']:.1f} to {times['highest']:.1f}) | {own:.1f}"
        )
        seconds = f"{one['seconds']:.0f} s | {other['seconds']:.0f} s"
        lines.append(f"| {head} | {seconds} | {ratio} | {one['max_difference']:.0e} |")
    return "\n".join(lines)


def price_paths() -> str:
    """Stylised facts of made paths of returns, beside real ones."""
    rows = list(record.latest("price_paths", "contender").values())
    names = list(rows[0]["facts"])
    lines = [
        f"| paths | {' | '.join(name.replace('_', ' ') for name in names)} |",
        "|---" * (len(names) + 1) + "|",
        "| **real, held out** | "
        + " | ".join(f"{rows[0]['facts'][name]['real']:.2f}" for name in names)
        + " |",
    ]
    for row in rows:
        cells = []
        for name in names:
            fact = row["facts"][name]
            word = "" if fact["verdict"] == "differs" else " ✓"
            cells.append(f"{fact['value']:.2f} ({fact['low']:.2f} to {fact['high']:.2f}){word}")
        lines.append(f"| {row['contender']} | {' | '.join(cells)} |")
    return "\n".join(lines)


def random_walks() -> str:
    """What the finance checks say where the truth is known."""
    rows = record.latest("random_walks", "study")
    lines = [
        "| random walks with steps | simulations | no evidence | gained (a false claim) | lost |",
        "|---|---|---|---|---|",
    ]
    for name, row in rows.items():
        if name.startswith("walks"):
            low, high = 100 * row["gained_low"], 100 * row["gained_high"]
            lines.append(
                f"| {name.partition(', ')[2]} | {row['simulations']} | {row['no_evidence_count']} |"
                f" {row['gained_count']} ({low:.1f} to {high:.1f} %) | {row['lost_count']} |"
            )
    lines += [
        "",
        "| the future's share of the variance | simulations | clean columns warned of |"
        " planted column found |",
        "|---|---|---|---|",
    ]
    for row in rows.values():
        if "future_share" in row:
            found = row["found_count"] if row["future_share"] else "none planted"
            lines.append(
                f"| {100 * row['future_share']:.0f} % | {row['simulations']} |"
                f" {row['false_alarm_count']} | {found} |"
            )
    return "\n".join(lines)
