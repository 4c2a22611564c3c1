"""Degrees with minutes and seconds, as maps write them: 52°31'12"N, 13° 24.5' E, S 33°52'."""

from __future__ import annotations

import re

LETTER = "NSEWnsew"
ANGLE = re.compile(
    rf"(?P<sign>[-−])?(?P<before>[{LETTER}])?\s*(?P<degrees>\d{{1,3}}(?:[.,]\d+)?)\s*[°º]"
    r"(?:\s*(?P<minutes>\d{1,2}(?:[.,]\d+)?)\s*['′’`])?"
    rf"(?:\s*(?P<seconds>\d{{1,2}}(?:[.,]\d+)?)\s*(?:[\"″”]|''|′′|’’))?\s*(?P<behind>[{LETTER}])?"
)


def degrees(text: str) -> float | None:
    """The degrees, negative in the south and the west; None for another text, and for degrees that
    have neither minutes nor a letter."""
    match = ANGLE.fullmatch(text)
    if match is None or not (match["minutes"] or match["before"] or match["behind"]):
        return None
    letters = [x for x in (match["before"], match["behind"]) if x]
    parts = [float((match[p] or "0").replace(",", ".")) for p in ("degrees", "minutes", "seconds")]
    if len(letters) > 1 or max(parts[1:]) >= 60:
        return None
    size = parts[0] + parts[1] / 60 + parts[2] / 3600
    south = bool(letters) and letters[0].lower() in "sw"
    return -size if south != bool(match["sign"]) else size
