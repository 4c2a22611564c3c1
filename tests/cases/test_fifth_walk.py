"""Cells and columns that went silently wrong on a fifth walk of a newcomer, each with its right
value, or with the line that names it. Oracle: what was written."""

from __future__ import annotations

import datetime
import subprocess
import sys
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pandas as pd
import pytest

from gobelin.core.errors import GobelinError
from gobelin.data.split.splits import row_moments
from gobelin.data.tables.frames import from_frame
from gobelin.data.targets import target_of
from gobelin.embedding.columns import schema
from gobelin.embedding.columns.schema import Choices

DAY, NOON = datetime.date(2020, 1, 1), datetime.datetime(2020, 1, 2, 12)
MIDNIGHT = datetime.datetime(2020, 1, 1)


def cells(*values: Any) -> list[Any]:  # noqa: ANN401
    return from_frame(pd.DataFrame({"x": pd.Series(values, dtype=object)})).values("x")


@pytest.mark.parametrize(
    ("given", "read_as"),
    [
        ((DAY, NOON), [MIDNIGHT, NOON]),  # the hour was cut off
        ((None, DAY, NOON), [None, MIDNIGHT, NOON]),
        ((NOON, DAY), [NOON, MIDNIGHT]),
        ((DAY, DAY), [DAY, DAY]),
        ((np.ma.masked, 1), [None, 1]),
        ((np.array(5), np.array(2.5)), [5, 2.5]),
        ((np.array("a"), np.array(None, dtype=object)), ["a", None]),
        (({"b", "a"}, frozenset({"c"})), [["a", "b"], ["c"]]),
        (({2, 10}, {1}), [[2, 10], [1]]),
        (({"a": 0}.keys(), {None}), [["a"], None]),
    ],
)
def test_a_cell_of_a_frame_loses_nothing(given: tuple[Any, ...], read_as: list[Any]) -> None:
    assert cells(*given) == read_as


def test_a_set_is_the_same_cell_in_every_process() -> None:
    program = (
        "import pandas; from gobelin.data.tables.frames import from_frame;"
        "print(from_frame(pandas.DataFrame({'x': [set('abcdefgh')]})).values('x'))"
    )
    printed = {
        subprocess.run(
            [sys.executable, "-c", program],
            env={"PYTHONHASHSEED": str(seed), "PYTHONPATH": ":".join(sys.path)},
            capture_output=True,
            check=True,
            text=True,
        ).stdout
        for seed in range(3)
    }
    assert printed == {f"[{list('abcdefgh')}]\n"}


def remark(values: Sequence[Any], name: str = "x") -> str:
    """The lines that `check` and `fit` print of a column of these values, 60 or more of them."""
    labels = ["red" if k % 2 else "blue" for k in range(len(values))]
    size = np.linspace(1, 2, len(values)) ** 2
    columns = {name: pd.Series(values, dtype=object), "size": size, "label": labels}
    data = from_frame(pd.DataFrame(columns))
    return " ".join(schema.remarks(schema.infer(data, "label", Choices())))


LABELS = ["red" if k % 2 else "blue" for k in range(60)]
DATES = [f"20{20 + k % 3}-0{1 + k % 9}-{10 + k % 19}" for k in range(60)]


@pytest.mark.parametrize("word", ["9999-12-31", "0001-01-01", "1900-01-01", "2099-12-31"])
@pytest.mark.parametrize("every", [3, 20])
def test_a_date_that_may_mean_missing_is_told(word: str, every: int) -> None:
    told = f"{word} is read as a date; where it means missing, leave the cell empty."
    values = [word if k % every == 0 else v for k, v in enumerate(DATES)]
    assert told in remark(values)
    assert told in remark([datetime.date.fromisoformat(v) for v in values])
    once = [word if k == 7 else v for k, v in enumerate(DATES)]
    assert not remark(once) and not remark(DATES)  # once it may be true


def test_a_stamp_of_zero_may_mean_missing() -> None:
    stamps = [0 if k % 9 == 0 else 1_577_836_800 + 86400 * k for k in range(60)]
    assert "0 is read as a number; where it means missing" in remark(stamps, "stamp")
    assert "means missing" not in remark([k % 7 * 1.5 for k in range(60)])


@pytest.mark.parametrize("word", ["true", "FALSE", "True"])
def test_truth_among_zeros_and_ones_is_no_word_for_missing(word: str) -> None:
    values = [word if k % 5 == 0 else str(k % 2) for k in range(60)]
    data = from_frame(pd.DataFrame({"size": np.linspace(0, 1, 60) ** 2, "label": values}))
    found = schema.infer(data, "label", Choices())
    read_as = target_of(data, found)
    assert read_as.classes == ("0", "1") and read_as.present.all()
    expected = [float(v) if v in ("0", "1") else float(word != "FALSE") for v in values]
    assert read_as.values.tolist() == expected
    assert "missing" not in " ".join(schema.remarks(found))


@pytest.mark.parametrize(
    ("odd", "others"),
    [
        ("~{}", "{}"),
        ("{}/3", "{}"),
        ("2020-02-31", "2020-03-{:02d}"),
        ("31.04.2020 ({})", "{:02d}.05.2020"),
        ("12 or {}", "{}.5"),
        ("3-{}", "0{}"),
    ],
)
def test_the_cell_that_is_not_read_is_the_one_that_is_named(odd: str, others: str) -> None:
    """Not the first cell, which may be a plain number or date."""
    values = [odd.format(k) if k % 3 == 2 else others.format(1 + k % 28) for k in range(60)]
    said, name = remark(values), repr(odd.format(2))
    assert f"cells such as {name}" in said or f"{name} and the like are read as names" in said


def target_line(values: Sequence[Any]) -> str:
    size = np.linspace(1, 2, len(values)) ** 2
    data = from_frame(pd.DataFrame({"size": size, "label": values}))
    lines = schema.remarks(schema.infer(data, "label", Choices()))
    return " ".join(line for line in lines if line.startswith("column 'label'"))


@pytest.mark.parametrize(
    ("rare", "meant"),
    [
        ("aple", "apple"),
        ("appple", "apple"),
        ("appel", "apple"),
        ("spple", "apple"),
        ("paple", "apple"),
        ("applee", "apple"),
        ("Red apple", "red aple"),
        ("grün", "grüne"),
    ],
)
def test_a_rare_class_that_may_be_mistyped_is_told(rare: str, meant: str) -> None:
    values = [rare, *[meant] * 30, *["pear"] * 29]
    told = (
        f"{rare!r} (1 row) is read as a value of its own; it may be {meant!r} (30 rows), mistyped"
    )
    assert told in target_line(values)
    assert "mistyped" not in target_line([rare] * 20 + values)  # often: no mistake


@pytest.mark.parametrize(
    ("rare", "other"),
    [
        ("cat", "car"),
        ("class a", "class b"),
        ("type 12", "type 11"),
        ("male", "female"),
        ("code17x", "code18x"),
        ("apples and pears", "apple and pear"),
        ("apple", "apple"),
    ],
)
def test_other_rare_classes_are_no_mistakes(rare: str, other: str) -> None:
    assert "mistyped" not in target_line([rare, *[other] * 30, *["melon"] * 29])


@pytest.mark.parametrize(
    ("labels", "shown"),
    [
        (["drama, comedy", "drama", "comedy"], "'drama| comedy'"),
        (["a,b", "b", "a"], "'a|b'"),
        (["a,b,c", "a,b", "c", "b", "a"], "'a|b|c'"),
    ],
)
def test_labels_with_commas_between_them_are_told(labels: list[str], shown: str) -> None:
    told = f"write them as {shown}, with --set schema.label=labels"
    assert told in target_line(labels * 20)
    assert "labels" not in target_line(["Bonn, Rhein", "Bonn, Ost", "Berlin"] * 20)


def wrongly(text: str) -> str:
    """The text, saved as UTF-8 and opened as another program of Western Windows does."""
    return text.encode().decode("cp1252")


@pytest.mark.parametrize(
    ("garbled", "meant"),
    [
        (wrongly("grün"), "grün"),
        (wrongly("weiß"), "weiß"),
        (wrongly("café"), "café"),
        (wrongly("12 °C warm"), "12 °C warm"),
        (wrongly("it’s"), "it’s"),
        ("R&amp;D", "R&D"),
        ("a &lt; b", "a < b"),
        ("caf&eacute;", "café"),
        ("it&#39;s", "it's"),
    ],
)
def test_garbled_texts_are_told(garbled: str, meant: str) -> None:
    told = f"{garbled!r} may stand for {meant!r}, garbled by another program."
    assert told in target_line([garbled, "blue", "red"] * 20)
    assert told in remark([garbled, "blue", "red"] * 20)
    assert told in remark([f"{garbled}", *(f"a caption of row {k} in words" for k in range(59))])


@pytest.mark.parametrize(
    "text", ["grün", "Ångström", "São Paulo", "Ã", "£5", "AT&T", "a & b; c", "&", "ÂÃ", "naïve €"]
)
def test_other_texts_are_not_garbled(text: str) -> None:
    assert not target_line([text, "blue", "red"] * 20)
    assert not remark([text, "blue", "red"] * 20)


@pytest.mark.parametrize(
    ("role", "cell", "meaning"),
    [
        ("split", lambda k: ("train", "valid", "test")[k % 3], "they are training rows"),
        ("weight", lambda k: 1 + k % 3, "their weight is 1"),
        ("group", lambda k: f"p{k // 3}", "each is a group of its own"),
    ],
)
def test_what_empty_cells_of_a_role_mean_is_told(
    role: str, cell: Callable[[int], object], meaning: str
) -> None:
    def lines(empty: Sequence[int]) -> str:
        cells = [None if k in empty else cell(k) for k in range(60)]
        size = np.linspace(1, 2, 60) ** 2
        frame = pd.DataFrame({"x": pd.Series(cells, dtype=object), "size": size, "label": LABELS})
        return " ".join(
            schema.remarks(schema.infer(from_frame(frame), "label", Choices(schema={"x": role})))
        )

    assert f"2 rows have no {role}: {meaning}." in lines([7, 9])
    assert f"1 row has no {role}: {meaning}." in lines([7])
    assert meaning not in lines([])


@pytest.mark.parametrize(
    "times",
    [
        [f"2020-01-{1 + k:02d}" for k in range(20)],
        [f"{1 + k:02d}.05.2020" for k in range(20)],
        [str(k) for k in range(20)],
        [k + 0.5 for k in range(20)],
    ],
)
@pytest.mark.parametrize("odd", ["unknown", "in spring", "2020-02-31", "~5"])
def test_one_text_among_times_does_not_put_them_in_the_order_of_the_alphabet(
    times: list[object], odd: str
) -> None:
    labelled = np.arange(20)
    keys = row_moments(times, labelled)
    assert sorted(range(20), key=keys.__getitem__) == list(range(20))
    with pytest.raises(GobelinError, match=f"row 7 has '{odd}', which is neither a number nor"):
        row_moments([*times[:7], odd, *times[8:]], labelled)


def test_times_in_words_are_told(caplog: pytest.LogCaptureFixture) -> None:
    words = ["monday", "friday", "tuesday"]
    keys = row_moments(words, np.arange(3))
    assert sorted(words) == [words[k] for k in sorted(range(3), key=keys.__getitem__)]
    assert "such as 'monday' are neither numbers nor dates" in caplog.text
