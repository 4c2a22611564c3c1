"""What built pages load from elsewhere: `python docs/extensions/remote_assets.py FOLDER` lists it.

The exit code is 1 where there is something. Checked: scripts, styles, fonts, images, frames and
media of every page; urls and imports of every style; fetches and imports of every script. A link
that a reader may follow is no asset.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path

REMOTE = re.compile(r"\s*(https?:)?//", re.I)
STYLE = re.compile(r"(?:url\(|@import)\s*[\"']?((?:https?:)?//[^\"')\s]+)", re.I)
SCRIPT = re.compile(
    r"(?:fetch|import|importScripts|\.src\s*=|\.href\s*=)\s*\(?\s*[\"'`]((?:https?:)?//[^\"'`]+)",
    re.I,
)
DRAWING = re.compile(
    r"<(?:image|use|script|style)\b[^>]*?href\s*=\s*[\"']((?:https?:)?//[^\"']+)", re.I
)
LOADED = {
    "stylesheet",
    "preload",
    "modulepreload",
    "prefetch",
    "preconnect",
    "dns-prefetch",
    "icon",
    "manifest",
}


class _Page(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.loaded: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        if tag == "link" and LOADED & set(given.get("rel", "").lower().split()):
            self.loaded.append(given.get("href", ""))
        if tag not in ("a", "area"):
            self.loaded += [given[k] for k in ("src", "poster", "data") if k in given]
            self.loaded += [
                part.split()[0] for part in given.get("srcset", "").split(",") if part.split()
            ]
        self.loaded += STYLE.findall(given.get("style", ""))


def remote(folder: Path) -> Iterator[str]:
    """'FILE: ADDRESS' for each thing that a built page would load from elsewhere."""
    for path in sorted(folder.rglob("*")):
        if path.suffix not in (".html", ".css", ".js", ".svg"):
            continue
        text = path.read_text(encoding="utf-8", errors="replace")
        if path.suffix == ".html":
            page = _Page()
            page.feed(text)
            found = [*(address for address in page.loaded if REMOTE.match(address)), *_inline(text)]
        else:
            patterns = {".css": (STYLE,), ".js": (SCRIPT,), ".svg": (STYLE, DRAWING)}
            found = [a for pattern in patterns[path.suffix] for a in pattern.findall(text)]
        yield from (f"{path.relative_to(folder)}: {address}" for address in found)


def _inline(text: str) -> list[str]:
    """What styles and scripts that stand in a page load."""
    styles = re.findall(r"<style[^>]*>(.*?)</style>", text, re.S | re.I)
    scripts = re.findall(r"<script[^>]*>(.*?)</script>", text, re.S | re.I)
    return [a for style in styles for a in STYLE.findall(style)] + [
        a for script in scripts for a in SCRIPT.findall(script)
    ]


if __name__ == "__main__":
    lines = list(remote(Path(sys.argv[1])))
    sys.stdout.writelines(f"{line}\n" for line in lines)
    sys.exit(bool(lines))
