"""The tables of README.md and docs from benchmarks/results: `python benchmarks/readme.py` writes
them, `--check` compares.

A table stands between `<!-- table NAME -->` and `<!-- end NAME -->`. docs/benchmarks.md has all of
them but the shape of the source, which docs/design.md has; other pages have some.
"""

from __future__ import annotations

import importlib
import json
import re
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))
import published
import record

ROOT = Path(__file__).parent.parent
ALL = Path("docs/benchmarks.md")  # the page that has every table but that of the source's shape
DESIGN = Path("docs/design.md")  # the page that has that one


def percent(figure: dict[str, Any]) -> str:
    value, low, high = (100 * figure[k] for k in ("value", "low", "high"))
    return f"{value:.1f} % ({low:.1f} to {high:.1f})"


def demo() -> str:
    row = record.latest("demo", "contender")["openmoji"]
    figures = {
        (name, json.dumps(json.loads(scope), sort_keys=True)): f
        for key, f in row["figures"].items()
        for name, scope in [
            (
                key.split(" ", 1)
                if not key.startswith("audit")
                else (key.rsplit(" ", 1)[1], key.split(" ", 1)[1].rsplit(" ", 1)[0])
            )
        ]
    }

    def of(name: str, **scope: str) -> dict[str, Any]:
        return figures[(name, json.dumps(scope, sort_keys=True))]

    lines = ["| what | value (95 % interval) | chance |", "|---|---|---|"]
    whole = of("balanced_accuracy")
    what = f"balanced accuracy, 9 groups, {whole['n']} unseen families"
    lines.append(f"| {what} | {percent(whole)} | {100 * whole['chance']:.1f} % |")
    for fields in ("caption", "image", "facts"):
        one = of("balanced_accuracy", fields=fields)
        lines.append(f"| shown the {fields} alone | {percent(one)} | {100 * one['chance']:.1f} % |")
    for a, b in (("caption", "image"), ("image", "caption")):
        one = of("recall@5", **{"from": a, "to": b})
        lines.append(
            f"| search {a} to {b}, recall at 5 | {percent(one)} | {100 * one['chance']:.1f} % |"
        )
    one = of("label_agreement")
    lines.append(
        "| class asked for, read from the generated image"
        f" (real images: {100 * one['floor']:.1f} %) |"
        f" {percent(one)} | {100 * one['chance']:.1f} % |"
    )
    for fields in ("caption", "image", "facts"):
        made, found = (
            of("condition_match", field=fields),
            of("condition_match", field=fields, of="retrieved training image"),
        )
        rivals = (
            f"real image: {100 * made['floor']:.1f} %, retrieved one: {100 * found['value']:.1f} %"
        )
        what = f"its own {fields}, found by the generated image among 32 ({rivals})"
        lines.append(f"| {what} | {percent(made)} | {100 * made['chance']:.1f} % |")
    for arm, base in (("generated", "real"), ("classic + generated", "classic")):
        one = of("verdict", arm=arm)
        value, low, high = (100 * one[k] for k in ("value", "low", "high"))
        lines.append(
            f"| {arm} against {base} | {value:+.1f} points ({low:+.1f} to {high:+.1f}):"
            f" **{one['verdict']}** | 0 |"
        )
    caught = of("planted_copies_caught", **{"generator seed": "0"})
    copies = of("copies", **{"generator seed": "0"})
    lines.append(
        f"| planted copies caught by the audit | {percent(caught)} |"
        f" {100 * caught['chance']:.1f} % |"
    )
    lines.append(
        f"| copies among generated images | {percent(copies)} | {100 * copies['chance']:.1f} % |"
    )
    lines.append("")
    lines.append(
        f"One run: {row['seconds']:.0f} seconds on {row['environment']['cores']} processor cores, "
        f"{row['peak_memory_mb']} MB of memory at most."
    )
    return "\n".join(lines)


def generation() -> str:
    """The benchmark of generators: all at the largest n that every one reached, of several seeds
    the worst of each figure."""
    rows = record.all_of("generation")
    minutes = max(row["minutes"] for row in rows)
    real = [row for row in rows if row["minutes"] == 0][-1]
    rows = [row for row in rows if row["minutes"] == minutes and row["judges"] == real["judges"]]
    newest = {(row["contender"], row["seed"]): row for row in rows}
    n = str(min(max(int(k) for k in row["at"]) for row in newest.values()))
    groups: dict[str, list[dict[str, Any]]] = {}
    for (name, _), row in newest.items():
        groups.setdefault(name, []).append(row)

    def distance(group: list[dict[str, Any]]) -> float:
        return max(row["at"][n]["frechet"] for row in group)

    def cells(group: list[dict[str, Any]]) -> str:
        low = {
            k: min(row["at"][n][k] for row in group)
            for k in ("precision", "recall", "coverage", "class_agreement")
        }
        share = (
            f"{low['precision']:.2f} | {low['recall']:.2f} | {low['coverage']:.2f} |"
            f" {100 * low['class_agreement']:.1f} %"
        )
        return f"{distance(group):.1f} | {share}"

    lines = [
        (
            "| contender (training seeds) | Fréchet | precision | recall | coverage | class read"
            " right | samples/s | training images/s | memory |"
        ),
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for name, group in sorted(groups.items(), key=lambda item: distance(item[1])):
        samples, images = (
            min(row[k] for row in group) for k in ("samples_per_s", "train_images_per_s")
        )
        memory = max(row["peak_memory_mb"] for row in group) / 1000
        lines.append(
            f"| {name} ({len(group)}) | {cells(group)} | {samples:,.0f} | {images:,.0f} |"
            f" {memory:.1f} GB |"
        )
    lines.append(f"| *real test images* | {cells([real])} | | | |")
    recipe = next(
        row["parameters"] for (name, _), row in newest.items() if name.startswith("diffusers plain")
    )
    lines += [
        "",
        (
            f"{minutes:g} minutes of training each on {real['environment']['cores']} processor"
            f" cores; the first {n} images of each; of several training seeds the worst of each"
            f' figure. The network of "diffusers plain" has {recipe / 1e6:.2f} M weights.'
        ),
    ]
    return "\n".join(lines)


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


def translation() -> str:
    """Emoji of one vendor from another's."""
    rows = record.latest("translation", "contender")
    lines = ["| | PSNR, dB | SSIM | feature distance |", "|---|---|---|---|"]
    for name, row in rows.items():
        lines.append(
            f"| {name} | {row['psnr_db']:.1f} | {row['ssim']:.2f} | {row['feature_distance']:.2f} |"
        )
    row = list(rows.values())[-1]
    trained = [r for r in rows.values() if "seconds_training" in r][-1]
    lines += [
        "",
        (
            f"{row['held_out_pairs']} held-out pairs of {row['held_out_emoji']} emoji at"
            f" {row['pixels']} pixels, {trained['seconds_training']:.0f} seconds of training on"
            f" {trained['threads']} processor core."
        ),
    ]
    return "\n".join(lines)


def volumes() -> str:
    """Generators of volumes against a Gaussian of each voxel and a plain VAE."""
    rows = record.latest("volumes", "contender")
    lines = [
        "| | Fréchet distance to held-out patches | to training patches | seconds of one core |",
        "|---|---|---|---|",
    ]
    for name, row in rows.items():
        spent = f"{row['processor_seconds']:.0f}" if row["patches_seen"] else ""
        held, train = row["frechet_to_held_out"], row["frechet_to_training"]
        lines.append(f"| {name} | {held:.3f} | {train:.3f} | {spent} |")
    row = next(r for r in rows.values() if r["patches_seen"])
    lines += [
        "",
        (
            f"{row['training_patches']:,} training patches of {row['voxels_a_side']} voxels a side,"
            f" {row['held_out_patches']} held-out ones of two other regions. Each network saw"
            f" {row['patches_seen']:,} patches and made {row['generated']}."
        ),
    ]
    return "\n".join(lines)


def brains() -> str:
    """Slices of a brain that is held out, from label maps, and label maps from slices."""
    rows = list(record.latest("brains", "cell").values())

    def cell(row: dict[str, Any], key: str, digits: int) -> str:
        if key not in row:
            return ""
        value, low, high = (f"{row[key + end]:.{digits}f}" for end in ("", "_low", "_high"))
        return f"{value} ({low} to {high})"

    lines = [
        "| held out | trained on | made | by | PSNR, dB | SSIM | Dice |",
        "|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        scores = [cell(row, "psnr_db", 1), cell(row, "ssim", 3), cell(row, "dice", 3)]
        held = f"{row['held_out']} ({row['fold']}) | {row['trained_on']}"
        lines.append(f"| {held} | {row['made']} | {row['contender']} | {' | '.join(scores)} |")
    last = [row for row in rows if "steps" in row][-1]
    lines.append("")
    for row in rows:
        if row["made"] == "image" and row["contender"] == "translate, 1 evaluation":
            gains = [
                f"over the {rival} {cell(row, f'psnr_db_gain_over_{rival}', 1)} dB and"
                f" {cell(row, f'ssim_gain_over_{rival}', 3)} of SSIM"
                for rival in ("mean of the label", "nearest training slice")
            ]
            lines.append(
                f"- {row['held_out']}, trained on {row['trained_on']}: `translate` with 1"
                f" evaluation gains {', '.join(gains)} (paired)."
            )
    lines += [
        "",
        (
            f"Everything is trained on {last['trained_on']}: {last['train_slices']} slices of"
            f" {last['pixels']} pixels, and tested on the {last['test_slices']} slices of a third"
            f" one. 95 % intervals over its {last['test_slabs']} slabs: they tell of other slabs of"
            f" this brain, not of other brains. `translate` was trained for {last['steps']} steps."
        ),
    ]
    return "\n".join(lines)


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


def metrics() -> str:
    """The measures of quality: ours and the published tools on the same features."""
    lines = [
        "| | seconds | times Gobelin's | memory, MB | largest relative difference |",
        "|---|---|---|---|---|",
    ]
    rows = sorted(
        record.latest("metrics", "contender").values(),
        key=lambda row: list(MEASURED).index(row["metric"]),
    )
    for row in rows:
        name, shape = (
            MEASURED[row["metric"]],
            "" if row["shape"] == "rectified" else f", {row['shape']} noise",
        )
        difference = "" if row["tool"] == "gobelin" else f"{row['difference']:.0e}"
        lines.append(
            f"| {name}{shape}: {row['tool']} | {row['seconds']:.1f} | {row['times_gobelin']:.1f} |"
            f" {row['peak_mb']:,.0f} | {difference} |"
        )
    row = rows[-1]
    return "\n".join(
        [
            *lines,
            "",
            (
                f"{row['rows']:,} real and {row['rows']:,} made rows of {row['width']:,} features"
                f" on {row['environment']['cores']} processor cores; memory beside the features."
            ),
        ]
    )


MEASURED = {
    "coverage": "precision, recall, density, coverage",
    "frechet": "Fréchet distance",
    "frechet of covariances": "the same from covariances",
    "kernel": "kernel distance",
}


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


def house() -> str:
    """The shape of the source, as `benchmarks/house.py` measured it last, beside the goals."""
    row, goals = record.all_of("house")[-1], importlib.import_module("house").GOALS
    lines = ["| what | measured | goal |", "|---|---|---|"]
    lines += [f"| {what} | {row[what]} | {goal} |" for what, goal in goals.items() if what in row]
    return "\n".join(lines)


def meshes() -> str:
    """Search between meshes and captions, by each contender; meshes made of grids."""
    rows = record.latest("meshes", "contender")
    ways = [w for w in ("to caption", "from caption") if f"search {w}" in rows]
    lines = [
        "| what stands for a piece | "
        + " | ".join(f"{w}, recall at 5 | views and shape over it, points" for w in ways)
        + " |",
        "|---|" + "---|---|" * len(ways),
    ]
    for name in ("views and shape", "views", "shape", "icon"):
        cells = []
        for way in ways:
            one = rows[f"search {way}"][name]
            gain = one.get("gain over it, recall@5")
            points = [100 * gain[k] for k in ("value", "low", "high")] if gain else []
            cells.append(percent(one["recall@5"]))
            cells.append("{:+.1f} ({:+.1f} to {:+.1f})".format(*points) if gain else "-")
        lines.append(f"| {name} | {' | '.join(cells)} |")
    grids = [
        f"| {row['contender'].removeprefix('grid ')} | {row['meshes']} | {row['inside_exact']} |"
        f" {percent(row['watertight'])} | {row['overlap_mean']:.3f} |"
        f" {percent(row['overlap_at_least_0.8'])} |"
        for row in rows.values()
        if row["contender"].startswith("grid ")
    ]
    head = [
        "",
        "| made a grid of 32 a side and cut | meshes | inside told exactly | watertight after"
        " | mean overlap | overlap of .8 or more |",
        "|---|---|---|---|---|---|",
    ]
    return "\n".join([*(lines if ways else []), *([*head, *grids] if grids else [])])


SHOWN = (
    alignment,
    brains,
    commands,
    copying,
    curate,
    demo,
    embedding,
    explain,
    fit_cost,
    found_again,
    fusion,
    generation,
    house,
    membership,
    meshes,
    metrics,
    missing,
    peers,
    price_paths,
    privacy,
    random_walks,
    search,
    translation,
    verdict,
    verdicts,
    volumes,
)
TABLES = {table.__name__: table for table in SHOWN}


def pages() -> list[Path]:
    """README.md and every page of docs, relative to the project."""
    found = (p.relative_to(ROOT) for p in (ROOT / "docs").rglob("*.md"))
    return [Path("README.md"), *sorted(p for p in found if not p.parts[1].startswith("_"))]


def filled(page: Path, text: str) -> str:
    """The text of a page with the present tables."""
    for name, table in TABLES.items():
        if not record.all_of(name):  # not measured yet: no place for it either
            continue
        pattern = rf"(<!-- table {name} -->\n).*?(<!-- end {name} -->)"
        places = len(re.findall(pattern, text, flags=re.S))
        home = DESIGN if name == "house" else ALL
        if places > 1 or (page == home and not places):
            raise SystemExit(f"{page}: has {places} places for the table {name}. Mark one place.")
        if places:
            text = re.sub(
                pattern, lambda m, table=table: f"{m[1]}{table()}\n{m[2]}", text, flags=re.S
            )
    return text


def main() -> None:
    for page in pages():
        text = (ROOT / page).read_text(encoding="utf-8")
        if (new := filled(page, text)) == text:
            continue
        if "--check" in sys.argv:
            raise SystemExit(
                f"{page}: its tables are not those of benchmarks/results. "
                "Run python benchmarks/readme.py."
            )
        (ROOT / page).write_text(new, encoding="utf-8")


if __name__ == "__main__":
    main()
