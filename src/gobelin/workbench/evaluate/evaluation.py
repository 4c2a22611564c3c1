"""What `evaluate` returns: findings, and the rows behind them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from gobelin.evidence.findings import Finding
from gobelin.report import answer


class Evaluation(list[Finding]):
    """The findings of an evaluation, the main score first, and what stands behind them.

    target: the column. rows: which rows were scored, in words. fields: those of the predictor.
    confusion, mistakes: the data of the exhibits of these names.
    """

    def __init__(
        self,
        findings: Iterable[Finding],
        target: str,
        rows: str,
        fields: Sequence[str],
        shown: Mapping[str, Mapping[str, Any]],
    ) -> None:
        super().__init__(findings)
        self.target, self.rows, self.fields = target, rows, tuple(fields)
        self.confusion = shown.get("confusion")
        self.mistakes: list[Mapping[str, Any]] = list(shown.get("mistakes", {}).get("rows", ()))

    def lines(self) -> list[str]:
        """At most 15 lines: the scores of the judged and of the delivered predictor, the fields
        alone, one that beats all together, the confusion, the ten worst mistakes."""
        first = answer.headline(self.target, self[0], self.rows)
        lines = [" ".join(filter(None, [first, answer.delivered(self)]))]
        lines += [line] if (line := answer.fields_line(self, self.fields)) else []
        lines += [line] if (line := answer.one_field_line(self)) else []
        lines += [answer.confused_line(self.confusion)] if self.confusion else []
        if self.mistakes:
            what = "The worst mistakes" if self.confusion else "The worst errors"
            lines += [f"{what}, with what the rows show:"]
        return lines + [answer.mistake_line(row) for row in self.mistakes]

    def rows_behind(self) -> list[Finding]:
        """The confusion and the worst mistakes as findings, for a program. They are not stored."""
        pairs = self.confusion["pairs"] if self.confusion else []
        confused = [
            Finding(
                name="confused",
                scope={"class": pair["class"], "taken for": pair["taken_for"]},
                value=float(pair["count"]),
                n=pair["rows"],
                better="lower",
                note="rows of the class that are taken for the other one",
                source="evaluate",
            )
            for pair in pairs
        ]
        return confused + [
            Finding(
                name="mistake",
                scope={"truth": row["truth"], "predicted": row["predicted"]},
                rows=(row["id"],),
                cells=tuple(f"{name}: {text}" for name, text in row["cells"]),
                note=row["note"],
                source="evaluate",
            )
            for row in self.mistakes
        ]
