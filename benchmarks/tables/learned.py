"""Tables about learning, search and speed, and the shape of the source."""

from __future__ import annotations

import importlib
from typing import Any

import record

from tables.figures import percent


def fusion() -> str:
    """The chosen fusion and what it gains over each rival, a set a line."""

    def points(gain: dict[str, float]) -> str:
        return f"{100 * gain['value']:+.1f} ({100 * gain['low']:+.1f} to {100 * gain['high']:+.1f})"

    def score(row: dict[str, Any]) -> str:
        if row["kind"] != "number":
            return percent(row["figure"])
        return "error {value:.2f} ({low:.2f} to {high:.2f}) of its spread".format(**row["figure"])

    rivals = {
        "best field alone": "the best field alone",
        "forests under voting": "forests under voting",
        "gradient boosting": "gradient boosting",
        "linear regression": "logistic regression or ridge",
    }
    lines = [
        (
            "| records (unseen, classes) | chosen | read right | over"
            f" {' | over '.join(rivals.values())} |"
        ),
        "|---|---|---|---|---|---|---|",
    ]
    read = {
        name: row for name, row in record.latest("fusion", "contender").items() if "folds" in row
    }
    for name, row in read.items():
        chosen = ", ".join(
            f"`{k}`" for k, _ in sorted(row["chosen"].items(), key=lambda item: -item[1])
        )
        cells = [points(row["gain_over"][k]) for k in rivals]
        cells[0] += f", {max(row['alone'], key=row['alone'].get)}"
        what = f"{name} ({row['unseen_rows']:,}, {row['classes'] or 'a number'})"
        lines.append(f"| {what} | {chosen} | {score(row)} | {' | '.join(cells)} |")
    return "\n".join(
        [
            *lines,
            "",
            (
                "Balanced accuracy and its points, of a number hundredths of its standard"
                " deviation; 95 % intervals, paired, over groups. Every row is read once, by models"
                " of the other folds."
            ),
        ]
    )


def alignment() -> str:
    """Search between two fields: ours and the better closed form of the pair, both ways."""
    row = record.latest("alignment", "contender")["tuxpaint"]

    def cell(one: dict[str, Any], score: str) -> str:
        gain, low, high = (100 * one[f"gain {score}"][k] for k in ("value", "low", "high"))
        return f"{gain:+.1f} ({low:+.1f} to {high:+.1f})"

    lines = [
        (
            "| from, to (queries, pool) | recall at 1 | at 5 | median rank | recall at 1 over the"
            " better closed form | mean reciprocal rank over it, in hundredths |"
        ),
        "|---|---|---|---|---|---|",
    ]
    for name, one in row["pairs"].items():
        ours = one["ours"]
        gains = f"{cell(one, 'recall@1')} | {cell(one, 'mean_reciprocal_rank')}"
        lines.append(
            f"| {name} ({one['queries']}, {one['pool']:.0f}) | {percent(ours['recall@1'])} |"
            f" {100 * ours['recall@5']['value']:.1f} % | {ours['median_rank']['value']:.0f} |"
            f" {gains} |"
        )
    return "\n".join(
        [
            *lines,
            "",
            (
                f"Chance is {100 / row['pairs']['image to caption']['pool']:.0f} % in the larger"
                " pools."
            ),
        ]
    )


def search() -> str:
    """A million vectors: ours and the libraries."""
    rows = {k: v for k, v in record.latest("search", "contender").items() if v["rows"] == 1_000_000}
    graph = rows["hnswlib"]["resident_mb"]
    lines = [
        (
            "| | recall at 10 | 95th percentile | queries/s | written and indexed | resident | of"
            " hnswlib's | on disk |"
        ),
        "|---|---|---|---|---|---|---|---|",
    ]
    for name, row in rows.items():
        lines.append(
            f"| {name} ({row['setting']}) | {row['recall_at_10']:.3f} | {row['p95_ms']:.1f} ms |"
            f" {row['queries_per_s']:.0f} | {row['total_s']:.0f} s | {row['resident_mb']:,} MB |"
            f" {row['resident_mb'] / graph:.2f} | {row['disk_mb']:,} MB |"
        )
    return "\n".join(lines)


def found_again() -> str:
    """A row's own cell, and the row without that cell."""
    lines = [
        (
            "| set, field | rows asked for | an equal cell is first | found among 5 by its other"
            " fields (one vector a row) | class of the ten nearest (one vector a row) |"
            " a changed cell finds its own first |"
        ),
        "|---|---|---|---|---|---|",
    ]
    ways = ("cropped", "jpeg", "turned", "dropped", "doubled", "quieter")

    def pair(row: dict[str, Any], key: str) -> str:
        if f"by_field_{key}" not in row:
            return ""
        one, other = (100 * row[f"{way}_{key}"] for way in ("by_field", "one_vector"))
        return f"{one:.1f} % ({other:.1f} %)"

    for name, row in record.latest("found_again", "contender").items():
        first = f"{row['asked']} | {100 * row['first']:.1f} %" if "first" in row else "|"
        near = [f"{w} {100 * row[f'{w}_first']:.0f} %" for w in ways if f"{w}_first" in row]
        cells = (name, first, pair(row, "among_5"), pair(row, "class"), ", ".join(near))
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def embedding() -> str:
    """Ours against the plain loop and against the bare forward pass."""
    lines = [
        (
            "| what is read | items/s | times the plain loop | times sentence-transformers | share"
            " of the bare forward pass | second call, times the first |"
        ),
        "|---|---|---|---|---|---|",
    ]
    for name, row in record.latest("embedding", "set").items():
        other = (
            f"{row['times_sentence_transformers']:.1f}"
            if "times_sentence_transformers" in row
            else ""
        )
        lines.append(
            f"| {EMBEDDED[name]}, {row['items']} files | {row['gobelin_per_second']:.0f} |"
            f" {row['times_naive']:.1f} | {other} | {row['share_of_bare']:.2f} |"
            f" {row['again_times']:.0f} |"
        )
    return "\n".join(lines)


EMBEDDED = {
    "image": "EfficientNet-Lite0, 128 pixels",
    "image_model": "a ViT like DeiT-small, 224 pixels",
    "text": "MiniLM",
}


def peers() -> str:
    """Gobelin beside the pipeline of ten minutes."""
    return "\n".join(importlib.import_module("peers").table())


def fit_cost() -> str:
    """Processor time of `fit`, alone and beside a busy neighbour."""
    lines = [
        "| preset | features | processor time | beside a busy neighbour | ratio |",
        "|---|---|---|---|---|",
    ]
    rows = {(r["preset"], r["features"]): r for r in record.all_of("fit_cost")}
    for row in rows.values():
        times = f"{row['alone']:.1f} s | {row['beside']:.1f} s | {row['ratio']:.2f}"
        lines.append(f"| {row['preset']} | {row['features']} | {times} |")
    return "\n".join(lines)


def missing() -> str:
    """Balanced accuracy by share of missing cells, of ours and the best rival."""
    lines = [
        "| records, what goes missing | missing | ours | best rival | ours over it, points |",
        "|---|---|---|---|---|",
    ]
    for row in record.latest("missing", "contender").values():
        rival = row["best_rival"]
        gain = row["gain_over"][rival]
        lines.append(
            f"| {row['sample']}, {row['field'] or 'all fields'} | {100 * row['missing_share']:.0f}"
            f" % | {100 * row['balanced_accuracy']['ours']['value']:.1f} % | {rival}"
            f" {100 * row['balanced_accuracy'][rival]['value']:.1f} % | {100 * gain['value']:+.1f}"
            f" ({100 * gain['low']:+.1f} to {100 * gain['high']:+.1f}) |"
        )
    return "\n".join(lines)


def curate() -> str:
    """Planted wrong labels: what is flagged, and what curated rows do for the predictor."""

    def share(figure: list[float]) -> str:
        return f"{100 * figure[0]:.0f} % ({100 * figure[1]:.0f} to {100 * figure[2]:.0f})"

    def points(figure: list[float]) -> str:
        return f"{100 * figure[0]:+.1f} ({100 * figure[1]:+.1f} to {100 * figure[2]:+.1f})"

    lines = [
        (
            "| training rows | wrong labels planted | flagged, of these wrong | wrong ones flagged"
            " | by a cross-fitted logistic regression | wrong labels left | validation rows read"
            " right, curated over raw, points |"
        ),
        "|---|---|---|---|---|---|---|",
    ]
    for row in record.latest("curate", "cell").values():
        if "planted_share" in row:
            found = [
                share(row[k]) if k in row else ""
                for k in ("precision", "recall", "logistic_recall")
            ]
            name, how, _ = row["cell"].split("-")
            planted = f"{name} ({row['rows']:,}) | {100 * row['planted_share']:.0f} % {how}"
            flagged = f"{row['flagged']}, {found[0] or '0 %'} | {found[1]} | {found[2]}"
            gain = f"{100 * row['wrong_after_share']:.0f} % | {points(row['accuracy_difference'])}"
            lines.append(f"| {planted} | {flagged} | {gain} |")
    return "\n".join(lines)


def explain() -> str:
    """Explainers: processor seconds a row, faithfulness, and the planted patch."""
    lines = [
        (
            "| explained | processor seconds a row | gain over random orders, log odds | held-out"
            " rows | verdict | rank correlation by other draws |"
        ),
        "|---|---|---|---|---|---|",
    ]
    rows = record.latest("explain", "cell").values()
    for row in rows:
        if "explainer" in row:
            gain = "{:.2f} ({:.2f} to {:.2f})".format(*row["gain"])
            what = f"{row['explainer']}{' of ' + row['field'] if row['field'] else ''}"
            stable = "" if row["stability"] is None else f"{row['stability']:.2f}"
            lines.append(
                f"| {what} | {row['processor_s']:.2f} | {gain} | {row['n']} | {row['verdict']} |"
                f" {stable} |"
            )
    lines += ["", "| planted patch, image encoder | rows | found in |", "|---|---|---|"]
    for row in rows:
        if "encoder" in row:
            lines.append(f"| {row['encoder']} | {row['rows']} | {100 * row['found_share']:.0f} % |")
    return "\n".join(lines)


def commands() -> str:
    """Processor time and memory: of commands that need no data, then of the verbs by rows."""
    rows = record.all_of("commands")
    plain = {row["what"]: row for row in rows if "rows" not in row}
    lines = ["| command | processor time | peak memory |", "|---|---|---|"]
    for what, row in plain.items():
        lines.append(f"| {what} | {row['processor_s']:.2f} s | {row['peak_mb']:.0f} MB |")
    by_rows = {(row["what"], row["rows"]): row for row in rows if "rows" in row}
    if not by_rows:
        return "\n".join(lines)
    sizes = sorted({size for _, size in by_rows})
    lines += ["", "| verb | " + " | ".join(f"{size:,} rows" for size in sizes) + " |"]
    lines.append("|---" * (len(sizes) + 1) + "|")
    for what in dict.fromkeys(name for name, _ in by_rows):
        cells = [by_rows.get((what, size)) for size in sizes]
        told = [
            "-" if row is None else f"{row['processor_s']:.2f} s, {row['peak_mb']:.0f} MB"
            for row in cells
        ]
        lines.append(f"| {what} | " + " | ".join(told) + " |")
    return "\n".join(lines)


def house() -> str:
    """The shape of the source, as `benchmarks/house.py` measured it last, beside the goals."""
    row, goals = record.all_of("house")[-1], importlib.import_module("house").GOALS
    lines = ["| what | measured | goal |", "|---|---|---|"]
    lines += [f"| {what} | {row[what]} | {goal} |" for what, goal in goals.items() if what in row]
    return "\n".join(lines)
