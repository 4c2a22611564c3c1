"""Tables about images and volumes that are made: the demo, generators, metrics."""

from __future__ import annotations

import json
from typing import Any

import record

from tables.figures import percent


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
