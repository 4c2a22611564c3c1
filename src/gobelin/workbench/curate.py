"""`curate` on a run folder: what the run's predictor says of its training rows, and the mended
training set.

Only training rows are looked at and changed; validation and test rows are handed on as they are. A
changed row stays a real row: what was changed stands beside it in a column of its own, which no
encoder reads. Of a run with tuned encoders only the rows that tuning never saw are looked at."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from gobelin.core import catalog
from gobelin.core.config import resolved
from gobelin.core.errors import GobelinError
from gobelin.core.files import atomic_folder, fingerprint, load_arrays, save_arrays, write_json
from gobelin.data.dataset import CURATED, SPLIT, WEIGHT, Dataset
from gobelin.data.files import cell_bytes
from gobelin.evidence.findings import Finding
from gobelin.prediction.calibration import counts_of
from gobelin.prediction.cross_fit import cross_fit
from gobelin.quality import labels as curate
from gobelin.report.shelf import Shelf
from gobelin.workbench.run.folder import Artefacts
from gobelin.workbench.thumbnails import thumbnail

STAGE, PAIRS, CELLS = "curated", 16, 20


@dataclass(frozen=True)
class Looked:
    """What was decided of the n training rows `rows`. given, suggested, label: int64 [n], class
    before, of a suspect (-1: it is none), after. likely: float64 [n], probability of a suspect's
    suggested class. chance: float64 [n], of the class after. weight: float64 [n]. together: [C, C],
    given by true. alike: int64 [n], rows that look the same have one number. wrong: share of wrong
    labels, low, high, groups. bar: confidence, share right, low, high, agreement, rows. borrowed:
    [k, 4], row, donor, cosine, closeness."""

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
                f"curate: target {made.model.target!r} is {what}, one class a row was expected."
                " Choose another."
            )

    @property
    def key(self) -> str:
        made = self.made
        return fingerprint(
            made.fitted,
            resolved(self.how),
            made.settings.check.near,
            made.settings.data.fingerprint,
        )

    @cached_property
    def looked(self) -> Looked:
        def make(folder: Path) -> None:
            save_arrays(folder / "rows.safetensors", vars(self._look()))

        self.made.run.stage(STAGE, self.key, make)
        return Looked(**load_arrays(self.made.run.checked(STAGE) / "rows.safetensors"))

    @property
    def caption_field(self) -> str | None:
        """The first field that a text encoder reads."""
        fields = self.made.schema.fields
        return next((f.name for f in fields if f.kind == "text"), None)

    def _look(self) -> Looked:
        made, how = self.made, self.how
        training, groups = made.training, made.rows.groups
        one = replace(training, settings=replace(training.settings, decays=(made.model.decay,)))
        crossed = cross_fit(
            catalog.build("fusion", made.settings.fusion.name, made.settings.fusion.settings), one
        )
        rows, x = crossed.rows, training.embeddings
        label, units = made.rows.target.values[rows], [groups[r] for r in rows]
        common = np.bincount(label, minlength=len(made.model.classes))
        counted = np.bincount(label, crossed.share, len(common))

        def probabilities(scores: np.ndarray, which: np.ndarray) -> np.ndarray:
            """Calibrated, for classes as common as their labels are, whatever training balanced."""
            p = made.model.calibration.probabilities(
                scores.astype(np.float64), counts_of(x.present[which])
            )
            p = p * np.where(counted > 0, common / np.maximum(counted, 1e-12), 1.0)
            return p / p.sum(1, keepdims=True)

        scores = probabilities(crossed.scores, rows)
        together = curate.joint(scores, label, np.ones(len(rows)))
        mixing = curate.transition(together, len(rows))
        true = curate.unmixed(scores, mixing)
        suggested = curate.suspects(scores, label, together)
        wrong = curate.wrong_labels(scores, label, units, how.draws, made.runtime.seed)
        line = curate.bar(true, label, mixing, units, how.precision)

        blank = self._unlabelled(x.present)
        if len(blank):
            unread = made.model.predictor.scores(x.rows(blank))
            true = np.concatenate([true, curate.unmixed(probabilities(unread, blank), mixing)])
        none = np.full(len(blank), -1)
        rows, given, suggested = (
            np.concatenate(pair) for pair in ((rows, blank), (label, none), (suggested, none))
        )
        belief, each = curate.posterior(true, given, mixing), np.arange(len(rows))
        likely = np.where(suggested >= 0, belief[each, suggested], 0.0)
        after = np.where(likely >= how.sure, suggested, given)
        after = np.where((given < 0) & (true.max(1) >= line.confidence), true.argmax(1), after)
        chance = np.where(after >= 0, belief[each, after], 1.0)
        alike = curate.look_alikes(x, rows, made.settings.check.near) if how.alike else each
        weight = chance / np.bincount(alike)[alike] * made.rows.weights[rows]
        return Looked(
            rows,
            given,
            suggested,
            likely,
            after,
            chance,
            weight,
            together,
            alike,
            np.array([wrong.value, wrong.low, wrong.high, wrong.n]),
            np.array(
                [
                    line.confidence,
                    line.right.value,
                    line.right.low,
                    line.right.high,
                    line.agree,
                    line.right.n,
                ]
            ),
            self._captions(),
        )

    def _unlabelled(self, present: np.ndarray) -> np.ndarray:
        """int64 [n]: training rows without a label, with something to read them from, no made row
        among them."""
        rows = self.made.rows.part("train")
        return rows[~self.made.rows.target.present[rows] & present[rows].any(1) & ~self._made[rows]]

    def _captions(self) -> np.ndarray:
        """float64 [k, 4]: what `Borrowed` holds, of those that are near enough."""
        made, field = self.made, self.caption_field
        found = (
            curate.borrowed(made.shared, field, made.rows.part("train"), made.rows.groups)
            if field
            else []
        )
        kept = [
            (b.row, b.donor, b.cosine, b.closeness)
            for b in found
            if b.closeness >= self.how.caption
        ]
        return np.array(kept, float).reshape(-1, 4)

    @property
    def _made(self) -> np.ndarray:
        """bool [N]: rows that claim to be real and hold a made image: nothing of them is used."""
        return np.isin(np.array(self.made.rows.dataset.ids), self.made.scan.marked)

    # what is found

    def run(self, shelf: Shelf) -> list[Finding]:
        """Findings and exhibits."""
        seen, how = self.looked, self.how
        labelled, known = seen.given >= 0, seen.label >= 0
        n, blank = int(labelled.sum()), int((~labelled).sum())
        changed = labelled & (seen.label != seen.given)
        value, low, high, units = seen.wrong.tolist()
        note = (
            f"about {value * n:.0f} of {n} training labels ({int(units)} groups); classes that the"
            " predictor can't tell apart count as wrong labels too"
        )
        found = [
            Finding(
                "wrong_labels",
                value=value,
                low=low,
                high=high,
                unit="share",
                better="lower",
                n=n,
                note=note,
                method="confident learning (Northcutt 2021), bootstrap over groups",
                source="curate",
            ),
            _count(
                "suspects", (seen.suggested >= 0).sum(), n, "training rows whose label looks wrong"
            ),
            _count(
                "labels_changed",
                changed.sum(),
                n,
                f"whose other class has a probability of {how.sure:g} or more",
            ),
        ]
        if blank:
            confidence, right, low, high, agree, rows = seen.bar.tolist()
            note = f"unlabelled rows, read with a probability of {confidence:.3f} or more"
            if confidence == np.inf:
                note = (
                    "unlabelled rows; no probability is high enough to be right"
                    f" {100 * how.precision:g} % of the time"
                )
            found.append(_count("labels_given", (known & ~labelled).sum(), blank, note))
            note = (
                f"of labelled rows read as surely, wrong labels allowed for; {100 * agree:.1f} %"
                f" agree with their label; the lower bound must reach {100 * how.precision:g} %"
            )
            found.append(
                Finding(
                    "given_labels_right",
                    value=right,
                    low=low,
                    high=high,
                    level=0.9,
                    unit="share",
                    better="higher",
                    n=int(rows),
                    note=note,
                    source="curate",
                )
            )
        if field := self.caption_field:
            without = int((~self.made.shared.has(field)[self.made.rows.part("train")]).sum())
            if without:
                note = f"training rows without {field}, from the nearest row that has one"
                found.append(_count("captions_given", len(seen.borrowed), without, note))
        if how.alike:
            said = np.unique(np.stack([seen.alike, seen.given])[:, labelled], axis=1)[
                0
            ]  # once for each label of each look
            twice = np.flatnonzero(np.bincount(said) > 1)
            note = "training rows that look the same as a row with another label"
            found.append(
                _count(
                    "look_alikes_labelled_apart",
                    np.isin(seen.alike[labelled], twice).sum(),
                    n,
                    note,
                )
            )
        note = "of training rows with a label: how probable it is, shared among look-alikes"
        found.append(
            Finding(
                "mean_weight",
                value=float(seen.weight[known].mean()),
                n=int(known.sum()),
                note=note,
                source="curate",
            )
        )
        self._show(shelf)
        return found

    def _show(self, shelf: Shelf) -> None:
        seen, made, classes = self.looked, self.made, self.made.model.classes
        order = [k for k in np.argsort(-seen.likely, kind="stable") if seen.suggested[k] >= 0]
        ids = made.ids(seen.rows)
        listed = [
            (
                ids[k],
                classes[seen.given[k]],
                classes[seen.suggested[k]],
                f"{seen.likely[k]:.3f}",
                (
                    "changed"
                    if seen.label[k] != seen.given[k]
                    else f"kept, weight {seen.weight[k]:.2f}"
                ),
            )
            for k in order[: self.how.shown]
        ]
        if listed:
            titles = ("row", "label", "looks like", "probability", "so")
            shelf.table("suspects", "Training rows whose label looks wrong.", titles, listed)
        off = np.where(np.eye(len(classes), dtype=bool), 0, seen.together) * (seen.given >= 0).sum()
        cells = [
            divmod(int(c), len(classes))
            for c in np.argsort(-off, axis=None, kind="stable")[:CELLS]
            if off.flat[c] >= 0.5
        ]
        if cells:
            mixed = [(classes[i], classes[j], f"{off[i, j]:.0f}") for i, j in cells]
            shelf.table(
                "confused",
                "How many labels look wrong, and how.",
                ("label", "looks like", "rows"),
                mixed,
            )
        if pairs := [pair for k in order[:PAIRS] if (pair := self._pair(k, ids[k]))]:
            shelf.pairs(
                "mislabelled",
                "Labels that look wrong.",
                "the row",
                "a sure row of the other class",
                pairs,
            )

    def _pair(self, k: int, name: str) -> dict[str, str] | None:
        """A suspect's image beside the surest one of the class that it looks like; None where one
        of them has no file."""
        seen, made, classes = self.looked, self.made, self.made.model.classes
        if not any(f.kind == "image" for f in made.schema.fields):
            return None
        sure = np.flatnonzero((seen.given == seen.suggested[k]) & (seen.suggested < 0))
        left = thumbnail(made, int(seen.rows[k]))
        right = (
            thumbnail(made, int(seen.rows[sure[seen.chance[sure].argmax()]])) if len(sure) else None
        )
        said = (
            f"{name}: labelled {classes[seen.given[k]]}, looks like {classes[seen.suggested[k]]}"
            f" ({seen.likely[k]:.2f})"
        )
        return {"left": left, "right": right, "caption": said} if left and right else None

    # what is handed on

    @cached_property
    def dataset(self) -> Dataset:
        """All rows of the run, the training rows curated: label and caption mended,
        `gobelin_weight`, `gobelin_split`, and what was changed in `gobelin_curated`."""
        made, seen = self.made, self.looked
        whole, target = made.rows.dataset.with_ids(), made.model.target
        labels, classes = whole.values(target), made.rows.target.values
        word = {
            int(c): labels[r] for r, c in enumerate(classes) if c >= 0
        }  # a class as its column writes it
        weight, told = (
            made.rows.weights.astype(float),
            [dict[str, Any]() for _ in range(len(whole))],
        )
        if CURATED in whole.table.column_names:
            told = [json.loads(one) if one else {} for one in whole.table[CURATED].to_pylist()]
        weight[seen.rows] = seen.weight
        for k in np.flatnonzero(seen.label != seen.given):
            row = int(seen.rows[k])
            was = None if seen.given[k] < 0 else made.model.classes[seen.given[k]]
            labels[row] = word[int(seen.label[k])]
            told[row][target] = {"was": was, "probability": round(float(seen.chance[k]), 4)}
        table = _with(whole.table, target, pa.array(labels, whole.table[target].type))
        for column in (
            made.schema.field(self.caption_field).columns
            if self.caption_field and len(seen.borrowed)
            else ()
        ):
            texts = whole.values(column)
            for row, donor in seen.borrowed[:, :2].astype(int):
                texts[row] = texts[donor]
            table = _with(table, column, pa.array(texts, table[column].type))
        for row, donor, _, closeness in seen.borrowed.tolist():
            told[int(row)][str(self.caption_field)] = {
                "from": whole.ids[int(donor)],
                "closeness": round(closeness, 4),
            }
        gone = {made.schema.role("weight"), made.schema.role("split")} & {*table.column_names}
        table = _with(table.drop_columns(sorted(map(str, gone))), WEIGHT, pa.array(weight))
        table = _with(table, SPLIT, pa.array(made.rows.parts.tolist()))
        said = [json.dumps(one, sort_keys=True, ensure_ascii=False) if one else "" for one in told]
        return replace(whole, table=_with(table, CURATED, pa.array(said))).rows(
            np.flatnonzero(~self._made)
        )

    def export(self, folder: Path) -> Path:
        """The curated data set as Parquet with its files inside, a recipe that names its columns,
        and a note of what to do."""
        if folder.exists() and not folder.is_dir():
            raise GobelinError(f"--export {folder}: is a file. Choose a new folder.")
        if folder.exists() and any(folder.iterdir()):
            raise GobelinError(f"--export {folder}: is not empty. Choose another folder.")
        made, data = self.made, self.dataset
        table = data.table
        for column in made.schema.columns:
            if column.kind in ("image", "audio", "video") and column.name in table.column_names:
                table = _with(
                    table,
                    column.name,
                    pa.array([_inside(v, data.root) for v in data.values(column.name)]),
                )
        said = resolved(made.settings)
        roles = {c: kind for c, kind in said["schema"].items() if c in table.column_names}
        recipe = {
            "schema": roles,
            "fields": said["fields"],
            "encoders": said["encoders"],
            "leave_out": said["leave_out"],
        }
        with atomic_folder(folder) as temporary:
            pq.write_table(table, temporary / "curated.parquet")
            write_json(
                temporary / "recipe.json", {**recipe, "data": {"order": said["data"]["order"]}}
            )
            (temporary / "README.md").write_text(self._note(), encoding="utf-8")
        return folder / "curated.parquet"

    def _note(self) -> str:
        seen = self.looked
        return (
            f"# Curated rows\n\n{len(self.dataset)} rows; of {len(seen.rows)} training rows that"
            f" were looked at {int((seen.label != seen.given).sum())} have another label than"
            f" before, and {len(seen.borrowed)} have a caption that they lacked. `{CURATED}` says"
            f" what was changed in a row, `{WEIGHT}` how probable its label is, `{SPLIT}` its part:"
            " validation and test rows are as they were. All rows are real ones.\n\n    gobelin"
            f" fit curated.parquet --target {self.made.model.target} --recipe recipe.json"
            " --generator NAME\n"
        )


def _with(table: pa.Table, name: str, column: pa.Array) -> pa.Table:
    """The table with this column in the place of the one of that name, or at its end."""
    names = table.column_names
    return (
        table.set_column(names.index(name), name, column)
        if name in names
        else table.append_column(name, column)
    )


def _inside(value: Any, root: Path) -> Any:  # noqa: ANN401 - a cell is any
    """The files' contents in the place of their paths."""
    if isinstance(value, list):
        return [cell_bytes(v, root) for v in value]
    return None if value is None else cell_bytes(value, root)


def _count(name: str, count: int | np.integer, of: int, note: str) -> Finding:
    return Finding(name, value=float(count), n=of, note=f"of {of} {note}", source="curate")
