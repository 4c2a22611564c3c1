"""Collects the exhibits of one verb: each method writes the data of one exhibit as JSON. Reports
draw them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from gobelin.core.files import write_json
from gobelin.evidence.conclusion import Say
from gobelin.evidence.findings import Exhibit, Finding


class Exhibits:
    """The exhibits of one verb.

    folder: where their data is written now. final: the path of that folder in the run folder later.
    credit: the source of the images. say: puts a caption, a heading or the name of a column into
    the words of what is generated.
    """

    def __init__(
        self,
        verb: str,
        folder: Path,
        final: str,
        credit: str,
        say: Say = str,
    ) -> None:
        self.verb, self.folder, self.final, self.credit, self.say = verb, folder, final, credit, say
        self.items: list[Exhibit] = []

    def _put(
        self,
        name: str,
        kind: str,
        caption: str,
        data: Mapping[str, Any],
        title: str = "",
        credit: str = "",
    ) -> None:
        """Write one exhibit. title: its heading in the report, '' = its name."""
        write_json(
            self.folder / f"{name}.json",
            {"title": self.say(title or name.replace("_", " ").capitalize()), **data},
        )
        path, caption = f"{self.final}/{name}.json", self.say(caption)
        self.items.append(Exhibit(f"{self.verb}/{name}", kind, path, caption, credit))

    def bars(
        self,
        name: str,
        caption: str,
        findings: Sequence[Finding],
        key: str,
        chance: float | None = None,
        title: str = "",
    ) -> None:
        """A bar for each finding, labelled by the entry `key` of its scope. Findings without that
        entry are left out."""
        rows = [
            {"label": f.scope[key], "value": f.value, "low": f.low, "high": f.high, "n": f.n}
            for f in findings
            if key in f.scope
        ]
        unit = findings[0].unit if findings else ""
        if rows:
            self._put(name, "bars", caption, {"rows": rows, "chance": chance, "unit": unit}, title)

    def forest(
        self,
        name: str,
        caption: str,
        findings: Sequence[Finding],
        smallest: float,
        axis: str,
        key: str = "",
        title: str = "",
    ) -> None:
        """A line for each comparison, labelled by the entry `key` of its scope, or by its two
        sides.

        smallest: the smallest effect that matters, drawn as a band.
        """
        rows = [
            {
                "label": (
                    f.scope[key] if key else f"{f.scope.get('arm', '')} against {f.comparator}"
                ),
                "value": f.value,
                "low": f.low,
                "high": f.high,
                "verdict": f.verdict,
            }
            for f in findings
        ]
        unit = findings[0].unit if findings else ""
        data = {"rows": rows, "zero": 0, "smallest": smallest, "unit": unit, "axis": axis}
        self._put(name, "forest", caption, data, title)

    def curve(
        self,
        name: str,
        caption: str,
        x: Sequence[float],
        series: Mapping[str, Sequence[float | None]],
        x_label: str,
        y_label: str,
        title: str = "",
        bands: Mapping[str, tuple[Sequence[float], Sequence[float]]] | None = None,
    ) -> None:
        """Lines over x. series: {name: values, None where there is no value}. bands: {name of a
        line: lower and upper ends}."""
        data = {"x": list(x), "series": dict(series), "x_label": x_label, "y_label": y_label}
        ends = {key: {"low": list(a), "high": list(b)} for key, (a, b) in (bands or {}).items()}
        self._put(name, "curve", caption, data | ({"bands": ends} if ends else {}), title)

    def table(
        self,
        name: str,
        caption: str,
        columns: Sequence[str],
        rows: Sequence[Sequence[Any]],
        title: str = "",
    ) -> None:
        """A table of numbers and texts."""
        self._put(
            name,
            "table",
            caption,
            {"columns": list(map(self.say, columns)), "rows": [list(r) for r in rows]},
            title,
        )

    def confusion(self, name: str, data: Mapping[str, Any]) -> None:
        """Counts of rows by class and prediction. data: {labels, counts [C, C]}, or the columns and
        rows of a table."""
        if "labels" in data:
            caption = "How many rows of each class (a line) got each prediction (a column)."
            return self._put(name, "matrix", caption, data)
        self._put(name, "table", "What is mistaken for what, or missed.", data)

    def records(self, name: str, caption: str, data: Mapping[str, Any], title: str = "") -> None:
        """Rows of the data: {rows: [{id, title, note, cells: [(name, text)], image: path}]}."""
        self._put(name, "records", caption, data, title, self.credit)

    def waterfall(
        self,
        name: str,
        caption: str,
        rows: Sequence[Mapping[str, Any]],
        unit: str,
        title: str = "",
    ) -> None:
        """A step for each part of an answer. rows: as `waterfall.steps`."""
        self._put(name, "waterfall", caption, {"rows": list(rows), "unit": unit}, title)

    def sheet(
        self, name: str, caption: str, groups: Sequence[Mapping[str, Any]], title: str = ""
    ) -> None:
        """Groups of images. groups: {label: the condition, images: paths, source: path of the image
        that they were generated from, if any; views: [{name, strip: path of an image of `count`
        views side by side, count}] of the first one, where it is no plain image}."""
        self._put(name, "sheet", caption, {"groups": list(groups)}, title, self.credit)

    def pairs(
        self,
        name: str,
        caption: str,
        left: str,
        right: str,
        pairs: Sequence[Mapping[str, str]],
        title: str = "",
        wide: bool = False,
    ) -> None:
        """Pairs of images. pairs: {left: path, right: path, caption}. wide: the right ones have
        numbers in them, which must be read."""
        self._put(
            name,
            "pairs",
            caption,
            {"left": self.say(left), "right": self.say(right), "pairs": list(pairs)}
            | ({"wide": True} if wide else {}),
            title,
            self.credit,
        )
