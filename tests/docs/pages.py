"""README.md and the pages of docs in parts: blocks of code, code in sentences, links, headings."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from urllib.parse import unquote

from markdown_it import MarkdownIt
from markdown_it.token import Token

ROOT = Path(__file__).parents[2]
BUILT = {"_build", "_generated"}
NOT_RUN = re.compile(r"<!-- not run: (.+?) -->", re.S)
EXITS = re.compile(r"<!-- exits with (\d+) -->")


def page_paths() -> list[Path]:
    """README.md and every page of docs that somebody wrote, relative to the project."""
    pages = (p.relative_to(ROOT) for p in (ROOT / "docs").rglob("*.md"))
    return [Path("README.md"), *sorted(p for p in pages if not BUILT & set(p.parts))]


@dataclass(frozen=True)
class Block:
    """language: what stands behind the fence. not_run: why it is not run, '' = it is.
    code: its exit code, 0 = done."""

    page: Path
    line: int
    language: str
    text: str
    not_run: str = ""
    code: int = 0


@dataclass(frozen=True)
class Page:
    path: Path
    tokens: tuple[Token, ...]

    def blocks(self) -> list[Block]:
        """Fenced blocks, without directives of the builder; each with the comment before it."""
        out, comment = [], ""
        for token in self.tokens:
            if token.type == "fence" and not token.info.startswith("{"):
                reason, code = NOT_RUN.search(comment), EXITS.search(comment)
                why, number = reason[1] if reason else "", int(code[1]) if code else 0
                line = token.map[0] + 1 if token.map else 0
                out.append(Block(self.path, line, token.info.strip(), token.content, why, number))
            comment = token.content if token.type == "html_block" else ""
        return out

    def spans(self) -> list[str]:
        """Code in sentences."""
        return [t.content for t in self._inline() if t.type == "code_inline"]

    def links(self) -> list[str]:
        """Where links and images lead."""
        found = (t.attrGet("href") or t.attrGet("src") for t in self._inline())
        return [unquote(str(link)) for link in found if link]

    def anchors(self) -> set[str]:
        """The headings as parts of an address, as GitHub and the builder write them."""
        heads = (
            self.tokens[k + 1].content
            for k, t in enumerate(self.tokens)
            if t.type == "heading_open"
        )
        return {re.sub(r"[^\w\- ]", "", head.lower()).replace(" ", "-") for head in heads}

    def _inline(self) -> Iterator[Token]:
        waiting = [t for t in self.tokens if t.type == "inline"]
        while waiting:
            children = waiting.pop(0).children or []
            yield from children
            waiting = [*[t for t in children if t.children], *waiting]


@cache
def read(path: Path) -> Page:
    """The page at a path relative to the project."""
    text = (ROOT / path).read_text(encoding="utf-8")
    return Page(path, tuple(MarkdownIt("commonmark").enable("table").parse(text)))


def commands(block: Block) -> list[str]:
    """The commands of a block: behind `$ ` in `console`, every line in `sh`. A line that ends in a
    backslash goes on."""
    lines = block.text.replace("\\\n", " ").split("\n")
    if block.language == "console":
        lines = [line[2:] for line in lines if line.startswith("$ ")]
    return [line.strip() for line in lines if line.strip() and not line.lstrip().startswith("#")]
