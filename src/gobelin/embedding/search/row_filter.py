"""The filter of `search --where`: a condition in a small part of SQL.

    condition  = comparisons with AND, OR, NOT and parentheses
    comparison = value (= | != | < | <= | > | >=) value | value [NOT] BETWEEN value AND value
               | value [NOT] IN (value, ...) | value [NOT] LIKE 'text' | value IS [NOT] NULL
               | value IS [NOT] TRUE | value IS [NOT] FALSE
    value      = column | `column` | number | 'text' | DATE '2020-02-01' | TRUE | FALSE
               | value (+ | - | * | / | %) value
               | lower(text) | upper(text) | length(text) | abs(number)

`sql_of` reads it before the engine sees it, checks names and kinds, and writes the condition anew.
So the engine gets nothing that a user wrote but columns, numbers and quoted texts. A quotient by 0
has no value, like a missing cell. Arithmetic is that of 64-bit floating point, so it can't
overflow.

What it can't show: whether a row that isn't found has another value or none.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable, Sequence

import pyarrow as pa

from gobelin.core.errors import GobelinError, nearest
from gobelin.core.shell import shell_word
from gobelin.embedding.search.filter_terms import (
    KINDS,
    MOST_CHARACTERS,
    FilterMistake,
    Term,
    Token,
    alike,
    compared,
    date_term,
    double,
    kind_of,
    number_term,
    quoted_text,
    read_number,
    tokens_of,
)

MOST_CONDITIONS = 1_000  # joined by AND and OR
MOST_PATTERN = 1_000  # characters after LIKE: the engine compiles them
MOST_DEPTH = 20  # of parentheses, functions and signs inside each other
MOST_COLUMNS_NAMED = 40  # in an error
MOST_SHOWN = 200  # characters of the filter that an error shows
COMPARISONS = {"=": "=", "==": "=", "!=": "<>", "<>": "<>", "<": "<", "<=": "<=", ">": ">"}
COMPARISONS |= {">=": ">="}
PLAIN_NAME = re.compile(r"[^\W\d]\w*")  # of a column that needs no quotes
QUOTED = r"'(?:[^']|'')*+'|`(?:[^`]|``)*+`|\"(?:[^\"]|\"\")*+\""
RESERVED = {"AND", "OR", "NOT", "IN", "IS", "NULL", "LIKE", "ILIKE", "BETWEEN", "TRUE", "FALSE"}
FUNCTIONS = {  # name: kind of the argument, kind of the result
    "lower": ("text", "text"),
    "upper": ("text", "text"),
    "length": ("text", "number"),
    "abs": ("number", "number"),
}


def sql_of(where: str, columns: pa.Schema) -> str:
    """The filter as SQL for the engine. columns: those that it may name. A name with spaces or
    signs needs no quotes where the filter can't be read in another way. Raises GobelinError, which
    names the filter, the place in it and the columns."""
    try:
        return _Reader(where, columns).filter()
    except FilterMistake as mistake:
        with contextlib.suppress(FilterMistake):
            if len(where) <= MOST_CHARACTERS:
                return _Reader(_with_quoted_names(where, columns.names), columns).filter()
        raise bad_filter(
            where, f"at character {mistake.start + 1}, {mistake}", columns
        ) from mistake


def _with_quoted_names(where: str, names: Sequence[str]) -> str:
    """The filter with backticks around names of columns with spaces or signs, outside of quotes."""
    odd = sorted((n for n in names if n.strip() and not PLAIN_NAME.fullmatch(n)), key=len)
    if not odd:
        return where
    found = rf"({QUOTED})|(?<!\w)({'|'.join(map(re.escape, reversed(odd)))})(?!\w)"
    return re.sub(found, lambda m: m[1] or f"`{m[2]}`", where)


def bad_filter(where: str, why: str, columns: pa.Schema) -> GobelinError:
    shown = where if len(where) <= MOST_SHOWN else where[:MOST_SHOWN] + "..."
    names = columns.names[:MOST_COLUMNS_NAMED]
    more = " ..." if len(columns.names) > len(names) else ""
    stop = "" if why.endswith(("?", '"')) else "."
    return GobelinError(f"--where {shown!r}: {why}{stop} Known columns: {', '.join(names)}{more}.")


class _Reader:
    """Reads a filter from left to right, one method for each level of the grammar."""

    def __init__(self, where: str, columns: pa.Schema) -> None:
        self.where, self.columns = where, columns
        self.tokens = tokens_of(where)
        self.at = 0
        self.depth = 0
        joints = [t for t in self.tokens if t.kind == "word" and t.text.upper() in ("AND", "OR")]
        if len(joints) >= MOST_CONDITIONS:
            start = joints[MOST_CONDITIONS - 1].start
            raise FilterMistake(f"it has more than {MOST_CONDITIONS} conditions", start)

    def filter(self) -> str:
        found = self._is(self._either(), "truth")
        if self._next.kind != "end":
            raise self._unexpected("AND, OR or the end was expected")
        return found.sql

    # the tokens

    @property
    def _next(self) -> Token:
        return self.tokens[self.at]

    def _taken(self) -> Token:
        self.at += 1
        return self.tokens[self.at - 1]

    def _has(self, *words: str) -> bool:
        """Whether these words or signs follow; they are passed."""
        found = self.tokens[self.at : self.at + len(words)]
        same = [t.kind in ("word", "sign") and t.text.upper() == w for t, w in zip(found, words)]  # noqa: B905
        if len(found) == len(words) and all(same):
            self.at += len(words)
            return True
        return False

    def _unexpected(self, wanted: str) -> FilterMistake:
        found = "the end" if self._next.kind == "end" else repr(self._next.text[:60])
        return FilterMistake(f"{wanted}, found {found}", self._next.start)

    def _deeper(self, read: Callable[[], Term]) -> Term:
        self.depth += 1
        if self.depth > MOST_DEPTH:
            raise FilterMistake(f"it is nested more than {MOST_DEPTH} deep", self._next.start)
        term = read()
        self.depth -= 1
        return term

    # conditions

    def _either(self) -> Term:
        return self._joined("OR", self._all)

    def _all(self) -> Term:
        return self._joined("AND", self._negated)

    def _joined(self, word: str, part: Callable[[], Term]) -> Term:
        parts = [part()]
        while self._has(word):
            parts.append(part())
        if len(parts) == 1:
            return parts[0]
        joined = _balanced([self._is(p, "truth").sql for p in parts], word)
        return Term("truth", joined, parts[0].token)

    def _negated(self) -> Term:
        token = self._next
        if not self._has("NOT"):
            return self._comparison()
        return Term("truth", f"(NOT {self._is(self._deeper(self._negated), 'truth').sql})", token)

    def _comparison(self) -> Term:
        left = self._sum()
        if self._next.text in COMPARISONS and self._next.kind == "sign":
            sign = COMPARISONS[self._taken().text]
            return compared(left, sign, self._beside(left))
        if self._has("IS"):
            return self._being(left)
        no = self._has("NOT")
        if self._has("BETWEEN"):
            low = compared(left, ">=", self._sum())
            if not self._has("AND"):
                raise self._unexpected("AND was expected after BETWEEN")
            found = f"({low.sql} AND {compared(left, '<=', self._sum()).sql})"
        elif self._has("IN"):
            found = self._among(left)
        elif (word := self._next.text.upper()) in ("LIKE", "ILIKE") and self._next.kind == "word":
            self._taken()
            if self._next.kind != "text":
                raise self._unexpected("a text in single quotes was expected")
            pattern = self._value()
            if len(str(pattern.literal)) > MOST_PATTERN:
                raise FilterMistake(
                    f"LIKE takes {MOST_PATTERN} characters at most", pattern.token.start
                )
            found = f"({self._is(left, 'text').sql} {word} {pattern.sql})"
        elif no:
            raise self._unexpected("IN, LIKE or BETWEEN was expected")
        else:
            return left
        return Term("truth", f"(NOT {found})" if no else found, left.token)

    def _being(self, left: Term) -> Term:
        no = "NOT " if self._has("NOT") else ""
        for word in ("NULL", "TRUE", "FALSE"):
            if self._has(word):
                checked = left if word == "NULL" else self._is(left, "truth")
                return Term("truth", f"({checked.sql} IS {no}{word})", left.token)
        raise self._unexpected("NULL, TRUE or FALSE was expected")

    def _among(self, left: Term) -> str:
        if not self._has("("):
            raise self._unexpected("( was expected")
        choices = [self._beside(left)]
        while self._has(","):
            choices.append(self._beside(left))
        if not self._has(")"):
            raise self._unexpected(") was expected")
        pairs = [alike(left, choice) for choice in choices]
        by_left: dict[str, list[str]] = {}  # a whole number stays whole beside whole choices
        for one, other in pairs:
            by_left.setdefault(one, []).append(other)
        parts = [f"({one} IN ({', '.join(others)}))" for one, others in by_left.items()]
        return _balanced(parts, "OR")

    # values

    def _beside(self, left: Term) -> Term:
        """The value that another one is compared with."""
        if left.kind == "text":
            self._refuse_bare_text()
        return self._sum()

    def _refuse_bare_text(self) -> None:
        """Raises FilterMistake for a text without its quotes, with the filter as it was meant."""
        first = self._next
        words = []
        for token in self.tokens[self.at :]:
            if token.kind != "word" or token.text.upper() in RESERVED:
                break
            words.append(token)
        known = {*self.columns.names, *map(column_name, self.columns.names)}
        if not words or first.text in known or column_name(first.text) in known:
            return
        after = self.tokens[self.at + len(words)]
        if after.text == "(" or (words[-1].text.upper() == "DATE" and after.kind == "text"):
            return
        end = words[-1].start + len(words[-1].text)
        text = quoted_text(self.where[first.start : end])
        meant = f"{self.where[: first.start]}{text}{self.where[end:]}"
        if len(meant) > MOST_SHOWN:
            meant = text
        shown = shell_word(meant) if set(meant) & set('"$`\\!') else f'"{meant}"'
        raise FilterMistake(f"a text stands in single quotes: --where {shown}", first.start)

    def _sum(self) -> Term:
        return self._chain(("+", "-"), self._product)

    def _product(self) -> Term:
        return self._chain(("*", "/", "%"), self._signed)

    def _chain(self, signs: Sequence[str], part: Callable[[], Term]) -> Term:
        left = part()
        while self._next.kind == "sign" and self._next.text in signs:
            sign = self._taken().text
            left, right = self._is(left, "number"), self._is(part(), "number")
            depth = 1 + max(left.depth, right.depth)
            if depth > MOST_DEPTH:
                raise FilterMistake(
                    f"it has more than {MOST_DEPTH} sums in each other", right.token.start
                )
            divisor = f"NULLIF({double(right)}, 0.0)" if sign in "/%" else double(right)
            left = Term("number", f"({double(left)} {sign} {divisor})", left.token, depth=depth)
        return left

    def _signed(self) -> Term:
        token = self._next
        if self._has("+"):
            return self._is(self._deeper(self._signed), "number")
        if not self._has("-"):
            return self._value()
        value = self._is(self._deeper(self._signed), "number")
        if isinstance(value.literal, int | float):
            return number_term(-value.literal, token)
        return Term("number", f"(- {double(value)})", token, depth=value.depth + 1)

    def _value(self) -> Term:
        token = self._next
        word = token.text.upper() if token.kind == "word" else ""
        if self._has("("):
            inner = self._deeper(self._either)
            if not self._has(")"):
                raise self._unexpected(") was expected")
            return inner
        if token.kind == "number":
            return number_term(read_number(self._taken()), token)
        if token.kind == "text":
            text = self._taken().text[1:-1].replace("''", "'")
            return Term("text", quoted_text(text), token, text)
        if word in ("TRUE", "FALSE"):
            return Term("truth", self._taken().text.upper(), token)
        if word == "NULL":
            raise FilterMistake("NULL is no value. Write IS NULL", token.start)
        following = self.tokens[min(self.at + 1, len(self.tokens) - 1)]
        if word in ("DATE", "TIMESTAMP") and following.kind == "text":
            self._taken()
            return date_term(self._value())
        if token.kind == "word" and following.text == "(" and word not in RESERVED:
            return self._called()
        if token.kind == "quoted" or (token.kind == "word" and word not in RESERVED):
            return self._column(self._taken())
        hint = f" A column of this name stands in backticks: `{token.text}`" if word else ""
        raise self._unexpected(f"a column, a number or a text was expected.{hint}".rstrip("."))

    def _called(self) -> Term:
        token = self._taken()
        name = token.text.lower()
        if name not in FUNCTIONS:
            near = [c for c in self.columns.names if c.startswith(token.text + " ")]
            hint = f". Write the column in backticks: `{near[0]}`" if near else ""
            known = ", ".join(FUNCTIONS)
            raise FilterMistake(
                f"{token.text} is no function of filters ({known} are){hint}", token.start
            )
        kind, result = FUNCTIONS[name]
        self._taken()
        inner = self._is(self._deeper(self._sum), kind)
        if not self._has(")"):
            raise self._unexpected(") was expected")
        sql = f"{name}({double(inner) if kind == 'number' else inner.sql})"
        whole = name == "length"
        return Term(result, f"CAST({sql} AS BIGINT)" if whole else sql, token, whole=whole)

    def _column(self, token: Token) -> Term:
        name = token.text
        if token.kind == "quoted":
            name = name[1:-1].replace(name[0] * 2, name[0])
        stored = name if name in self.columns.names else column_name(name)
        if stored not in self.columns.names:
            hint = nearest(name, self.columns.names).rstrip(".")
            hint = hint if "mean" in hint else ""
            if token.text[0] == '"':
                hint = f" A text stands in single quotes: {quoted_text(name)}"
            raise FilterMistake(f"no column {name!r}.{hint}".rstrip("."), token.start)
        arrow = self.columns.field(stored).type
        kind, sql = kind_of(arrow), f"`{stored}`"
        whole = kind == "number" and pa.types.is_integer(arrow) and arrow != pa.uint64()
        if kind == "number":
            sql = f"CAST({sql} AS {'BIGINT' if whole else 'DOUBLE'})"
        return Term(kind, sql, token, column=arrow, whole=whole)

    def _is(self, term: Term, kind: str) -> Term:
        if term.kind != kind:
            wanted = "a condition" if kind == "truth" else KINDS[kind]
            raise FilterMistake(
                f"{wanted} was expected, {term.token.text[:60]!r} is {KINDS[term.kind]}",
                term.token.start,
            )
        return term


def column_name(column: str) -> str:
    """The column's name in the table: the engine reads no dots and no backticks in a name."""
    return column.replace(".", "_").replace("`", "_")


def _balanced(parts: Sequence[str], word: str) -> str:
    """The parts joined as a tree of small depth: a long chain would overflow the engine's stack."""
    if len(parts) == 1:
        return parts[0]
    half = len(parts) // 2
    return f"({_balanced(parts[:half], word)} {word} {_balanced(parts[half:], word)})"
