"""`curate` on a run folder: what the run's predictor says of its training rows, and the mended training set.

Only training rows are looked at and changed; validation and test rows are handed on as they are. A changed row stays a real row:
what was changed stands beside it in a column of its own, which no encoder reads.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from gobelin import catalog, curate, predict
from gobelin.artefacts import Artefacts
from gobelin.calibration import counts_of
from gobelin.config import resolved
from gobelin.data.dataset import CURATED, SPLIT, WEIGHT, Dataset
from gobelin.data.files import cell_bytes
from gobelin.errors import GobelinError
from gobelin.evidence import Finding
from gobelin.exhibits import Shelf
from gobelin.inspection import thumbnail
from gobelin.store import atomic_folder, fingerprint, load_arrays, save_arrays

SOURCE, STAGE, PAIRS = "curate", "curated", 16


@dataclass(frozen=True)
class Looked:
    """What was decided of the n training rows `rows`. given, suggested, label: int64 [n], class before, of a suspect (-1: it is
    none), after. chance, weight: float64 [n], of the label after. together: [C, C], given by true. alike: int64 [n], rows that
    look the same have one number. borrowed: [k, 4], row, donor, cosine, closeness."""

    rows: np.ndarray
    given: np.ndarray
    suggested: np.ndarray
    likely: np.ndarray
    label: np.ndarray
    chance: np.ndarray
    weight: np.ndarray
    together: np.ndarray
    alike: np.ndarray
    wrong: np.ndarray
    bar: np.ndarray
    borrowed: np.ndarray


class Curation:
    """One look at the labels of a run. Refuses a target that isn't one class a row."""

    def __init__(self, made: Artefacts) -> None:
        self.made, self.how = made, made.settings.curate
        if not made.model.exclusive:
            what = "a number" if made.model.kind == "number" else "several labels a row"
            raise GobelinError(
                f"curate: the target {made.model.target!r} is {what}, one class a row was expected. Choose another."
            )

    @property
    def key(self) -> str:
        made = self.made
        return fingerprint(made.fitted, resolved(self.how), made.settings.check.near, made.settings.data.fingerprint)

    @cached_property
    def looked(self) -> Looked:
        def make(folder: Path) -> None:
            save_arrays(folder / "rows.safetensors", vars(self._look()))

        self.made.run.stage(STAGE, self.key, make)
        return Looked(**load_arrays(self.made.run.checked(STAGE) / "rows.safetensors"))

    @property
    def caption_field(self) -> str | None:
        """The first field that a text encoder reads."""
        schema = self.made.schema
        return next((f.name for f in schema.fields if "text" in catalog.find("encoders", f.encoder).kinds), None)

    def _look(self) -> Looked:
        made, how, seed = self.made, self.how, self.made.runtime.seed
        training, fusion, target, groups = made.training, made.settings.fusion, made.rows.target, made.rows.groups
        one = replace(training, settings=replace(training.settings, decays=(made.model.decay,)))
        crossed = predict.cross_fit(catalog.build("fusion", fusion.name, fusion.settings), one)
        x = training.embeddings

        def probabilities(scores: np.ndarray, rows: np.ndarray) -> np.ndarray:
            """Calibrated, for rows as common as those of the data, whatever training balanced."""
            p = made.model.calibration.probabilities(scores.astype(np.float64), counts_of(x.present[rows]))
            counted = np.bincount(label, minlength=p.shape[1]) / np.maximum(
                np.bincount(label, crossed.share, minlength=p.shape[1]), 1e-12
            )
            p = p * np.where(counted > 0, counted, 1.0)
            return p / p.sum(1, keepdims=True)

        rows = crossed.rows
        label, units = target.values[rows], [groups[r] for r in rows]
        scores = probabilities(crossed.scores, rows)
        together = curate.joint(scores, label, np.ones(len(rows)))
        wrong = curate.wrong_labels(scores, label, units, how.draws, seed)
        suggested = curate.suspects(scores, label, together)
        mixing = curate.transition(together, len(rows))
        true = curate.unmixed(scores, mixing)
        line = curate.bar(true, label, mixing, units, how.precision)

        whole = made.rows.part("train")
        blank = whole[~target.present[whole] & x.present[whole].any(1) & ~self._made(whole)]
        if len(blank):
            unread = made.model.predictor.scores(x.rows(blank))
            true = np.concatenate([true, curate.unmixed(probabilities(unread, blank), mixing)])
        rows, given = np.concatenate([rows, blank]), np.concatenate([label, np.full(len(blank), -1)])
        suggested = np.concatenate([suggested, np.full(len(blank), -1)])
        belief = curate.posterior(true, given, mixing)
        likely = belief[np.arange(len(rows)), np.where(suggested >= 0, suggested, belief.argmax(1))]
        after = np.where((suggested >= 0) & (likely >= how.sure), suggested, given)
        after = np.where((given < 0) & (true.max(1) >= line.confidence), true.argmax(1), after)
        chance = np.where(after >= 0, belief[np.arange(len(rows)), after], 1.0)
        alike = curate.look_alikes(x, rows, made.settings.check.near) if how.alike else np.arange(len(rows))
        share = 1 / np.unique(alike, return_counts=True)[1][np.unique(alike, return_inverse=True)[1]]
        field = self.caption_field
        found = curate.borrowed(made.shared, field, whole, groups) if field else []
        lent = np.array([(b.row, b.donor, b.cosine, b.closeness) for b in found if b.closeness >= how.caption], float)
        return Looked(
            rows, given, suggested, likely, after, chance, chance * share * made.rows.weights[rows], together, alike,
            np.array([wrong.value, wrong.low, wrong.high, wrong.n]),
            np.array([line.confidence, line.right.value, line.right.low, line.right.high, line.agree, line.rows]),
            lent.reshape(-1, 4),
        )  # fmt: skip

    def _made(self, rows: np.ndarray) -> np.ndarray:
        """bool [n]: rows that claim to be real and hold a made image: nothing of them is used."""
        return np.isin(np.array(self.made.rows.dataset.ids)[rows], self.made.scan.marked)

    # what is found

    def run(self, shelf: Shelf) -> list[Finding]:
        """Findings and exhibits."""
        seen, how, classes = self.looked, self.how, self.made.rows.target.classes
        labelled = seen.given >= 0
        n, blank = int(labelled.sum()), int((~labelled).sum())
        suspect, mended = seen.suggested >= 0, labelled & (seen.label != seen.given)
        value, low, high, units = seen.wrong.tolist()
        found = [
            Finding(
                "wrong_labels", value=value, low=low, high=high, unit="share", better="lower", n=n, source=SOURCE,
                method="confident learning (Northcutt 2021), bootstrap over groups",
                note=f"about {value * n:.0f} of {n} training labels ({int(units)} groups); classes that the predictor can't tell "
                "apart count as wrong labels too",
            ),
            _count("suspects", suspect.sum(), n, "training rows whose label looks wrong, the most likely ones first"),
            _count("labels_changed", mended.sum(), n, f"suspects whose other class has a probability of {how.sure:g} or more"),
        ]  # fmt: skip
        if blank:
            confidence, right, low, high, agree, rows = seen.bar.tolist()
            found.append(
                _count(
                    "labels_given", ((~labelled) & (seen.label >= 0)).sum(), blank,
                    f"unlabelled rows read with a probability of {confidence:.3f} or more" if np.isfinite(confidence) else
                    f"unlabelled rows; no probability is high enough to be right {100 * how.precision:g} % of the time",
                )
            )  # fmt: skip
            found.append(
                Finding(
                    "given_labels_right", value=right, low=low, high=high, level=0.9, unit="share", better="higher", source=SOURCE,
                    n=int(rows), note=f"of labelled rows read as surely, wrong labels allowed for; {100 * agree:.1f} % agree with "
                    f"their label; its lower bound must reach {100 * how.precision:g} %",
                )
            )  # fmt: skip
        if field := self.caption_field:
            without = int((~self.made.shared.has(field)[self.made.rows.part("train")]).sum())
            if without:
                note = f"training rows without {field}, from the nearest row that has one"
                found.append(_count("captions_given", len(seen.borrowed), without, note))
        odd = [k for c in np.unique(seen.alike[labelled]) if len(np.unique(seen.given[labelled & (seen.alike == c)])) > 1
               for k in np.flatnonzero(labelled & (seen.alike == c))] if len(np.unique(seen.alike)) < len(seen.alike) else []  # fmt: skip
        if self.how.alike:
            note = "training rows that look the same as a row with another label"
            found.append(_count("look_alikes_labelled_apart", len(odd), n, note))
        kept = seen.weight[seen.label >= 0]
        found.append(Finding("mean_weight", value=float(kept.mean()), n=len(kept), source=SOURCE,
                             note="of training rows with a label: how probable it is, shared among look-alikes"))  # fmt: skip
        self._show(shelf, classes)
        return found

    def _show(self, shelf: Shelf, classes: tuple[str, ...]) -> None:
        seen, made = self.looked, self.made
        order = [k for k in np.argsort(-seen.likely, kind="stable") if seen.suggested[k] >= 0]
        ids = made.ids(seen.rows)
        listed = [
            (ids[k], classes[seen.given[k]], classes[seen.suggested[k]], f"{seen.likely[k]:.3f}",
             "changed" if seen.label[k] != seen.given[k] else f"kept, weight {seen.weight[k]:.2f}")
            for k in order[: self.how.shown]
        ]  # fmt: skip
        if listed:
            titles = ("row", "label", "looks like", "probability", "so")
            shelf.table("suspects", "Training rows whose label looks wrong.", titles, listed)
        n = int((seen.given >= 0).sum())
        off = np.where(np.eye(len(classes), dtype=bool), 0, seen.together) * n
        cells = [divmod(int(c), len(classes)) for c in np.argsort(-off, axis=None, kind="stable")[:20] if off.flat[c] >= 0.5]
        if cells:
            mixed = [(classes[i], classes[j], f"{off[i, j]:.0f}") for i, j in cells]
            shelf.table("confused", "How many labels look wrong, and how.", ("label", "looks like", "rows"), mixed)
        if any("image" in catalog.find("encoders", f.encoder).kinds for f in made.schema.fields):
            pairs = []
            for k in order[:PAIRS]:
                alike = np.flatnonzero((seen.given == seen.suggested[k]) & (seen.suggested < 0))
                left = thumbnail(made, int(seen.rows[k]))
                right = thumbnail(made, int(seen.rows[alike[seen.chance[alike].argmax()]])) if len(alike) else None
                if left and right:
                    said = f"{ids[k]}: labelled {classes[seen.given[k]]}, looks like {classes[seen.suggested[k]]}"
                    pairs.append({"left": left, "right": right, "caption": f"{said} ({seen.likely[k]:.2f})"})
            if pairs:
                shelf.pairs("mislabelled", "Labels that look wrong.", "the row", "a sure row of the other class", pairs)

    # what is handed on

    @cached_property
    def dataset(self) -> Dataset:
        """All rows of the run, the training rows curated: label and caption mended, `gobelin_weight`, `gobelin_split`, and what
        was changed in `gobelin_curated`."""
        made, seen = self.made, self.looked
        whole = made.rows.dataset.with_ids()
        target, classes = made.model.target, made.rows.target.classes
        columns: dict[str, list[Any]] = {c: whole.values(c) for c in whole.column_names}
        example = {str(v): v for v in columns[target] if v is not None}
        weight, told = made.rows.weights.astype(float), [dict[str, Any]() for _ in range(len(whole))]
        for k, row in enumerate(seen.rows.tolist()):
            weight[row] = seen.weight[k]
            if seen.label[k] != seen.given[k]:
                was = columns[target][row]
                columns[target][row] = example[classes[seen.label[k]]]
                told[row][target] = {"was": None if was is None else str(was), "probability": round(float(seen.chance[k]), 4)}
        for row, donor, _, closeness in seen.borrowed.tolist():
            for column in made.schema.field(str(self.caption_field)).columns:
                columns[column][int(row)] = columns[column][int(donor)]
            told[int(row)][str(self.caption_field)] = {"from": whole.ids[int(donor)], "closeness": round(closeness, 4)}
        gone = [c for c in (made.schema.role("weight"), made.schema.role("split")) if c]
        arrays = {c: _column(whole.table[c].type, v) for c, v in columns.items() if c not in gone}
        arrays["gobelin_id"] = pa.array(whole.ids)
        arrays[WEIGHT], arrays[SPLIT] = pa.array(weight), pa.array(made.rows.parts.tolist())
        arrays[CURATED] = pa.array([json.dumps(t, sort_keys=True, ensure_ascii=False) if t else "" for t in told])
        kept = np.flatnonzero(~self._made(np.arange(len(whole))))
        return replace(whole, table=pa.table(arrays), bad=frozenset()).rows(kept)

    def export(self, folder: Path) -> Path:
        """The curated data set as Parquet, with files inside, and a note of what to do with it."""
        if folder.exists() and not folder.is_dir():
            raise GobelinError(f"--export {folder}: is a file. Choose a new folder.")
        if folder.exists() and any(folder.iterdir()):
            raise GobelinError(f"--export {folder}: is not empty. Choose another folder.")
        table, made = self.dataset.table, self.made
        for column in made.schema.columns:
            if column.kind in ("image", "audio", "video") and column.name in table.column_names:
                values = [_inside(v, self.dataset.root) for v in self.dataset.values(column.name)]
                table = table.set_column(table.column_names.index(column.name), column.name, pa.array(values))
        with atomic_folder(folder) as temporary:
            pq.write_table(table, temporary / "curated.parquet")
            (temporary / "README.md").write_text(self._note(folder), encoding="utf-8")
        return folder / "curated.parquet"

    def _note(self, folder: Path) -> str:
        made, seen = self.made, self.looked
        said = made.settings.schema.items()
        roles = [f"schema.{c}={kind}" for c, kind in said if kind not in ("weight", "split") and c in self.dataset.column_names]
        words = " ".join(f"--set {one}" for one in roles)
        return (
            f"# Curated rows\n\n{len(self.dataset)} rows; of {len(seen.rows)} training rows "
            f"{int((seen.label != seen.given).sum())} have another label than before and {len(seen.borrowed)} a caption that they "
            f"lacked. `{CURATED}` says what was changed in a row, `{WEIGHT}` how probable its label is, `{SPLIT}` its part: "
            "validation and test rows are as they were. All rows are real ones.\n\n"
            f"    gobelin fit {folder / 'curated.parquet'} --target {made.model.target} {words}".rstrip()
            + "\n"
        )


def _column(kind: pa.DataType, values: list[Any]) -> pa.Array:
    """As it was typed; files that are bytes here and paths there have no type of their own."""
    return pa.array(values) if pa.types.is_struct(kind) else pa.array(values, kind)


def _inside(value: Any, root: Path) -> Any:  # noqa: ANN401 - a cell is any
    """The files' contents in the place of their paths."""
    if isinstance(value, list):
        return [cell_bytes(v, root) for v in value]
    return None if value is None else cell_bytes(value, root)


def _count(name: str, count: int | np.integer, of: int, note: str) -> Finding:
    return Finding(name, value=float(count), n=of, note=f"of {of} {note}", source=SOURCE)
