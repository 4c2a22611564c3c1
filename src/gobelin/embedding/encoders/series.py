"""Windows of prices or of a sensor, without any weights: level, spread, shape and movement.

All features are in closed form; rhythm is one of them. Every channel [T] is first standardised: its
median is subtracted, and it is divided by its robust spread (the distance of its quartiles over
1.349). So all features but level and spread stay the same whatever the unit and the zero of the
scale. Places in time are shares of the window. `channel_features` lists the features and their
sources. Of several channels there is also the correlation of each pair, of the values and of the
increments. Columns of one field stand side by side.

From the training rows the median and the robust spread of each feature are learned, and nothing
else. Then a feature counts as at most five spreads, so that no outlier weighs more. What this
cannot show: anything that depends on the times, in days or seconds, of the samples.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from itertools import combinations
from pathlib import Path
from typing import Annotated, Any, ClassVar

import numpy as np

from gobelin.core import config
from gobelin.core.config import setting, settings_class
from gobelin.core.errors import GobelinError
from gobelin.core.files import (
    fingerprint,
    load_arrays,
    made_anew,
    read_json,
    save_arrays,
    write_json,
)
from gobelin.core.machine import Runtime
from gobelin.data.fields import Bid, Cell, Field
from gobelin.data.files import BadCell
from gobelin.data.series.windows import open_series, series_key, series_query, series_share
from gobelin.embedding.columns.number_remarks import STAND_INS, is_far
from gobelin.embedding.encoders import Sample, TrainingCells, share_bid
from gobelin.embedding.part_means import feature_scales, in_spreads

VALUE_QUANTILES = (0.0, 0.05, 0.1, 0.25, 0.75, 0.9, 0.95, 1.0)  # their median is 0
INCREMENT_QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)
ORDER_CODES = (0, 1, 2, 5, 6, 7)  # of the orders of three samples
# Features of a channel beside quantiles, orders and those whose count is a setting.
SINGLE_FEATURES = 18
SCALE_CELLS = 4096  # training cells from which the scales are learned, at most, evenly chosen
WAVE_SAMPLES = 65_536  # samples that are multiplied with all waves at once
SMALLEST = 1e-300  # smallest number whose logarithm is taken


@settings_class
class Series:
    """Settings of the statistics of a time series."""

    lags: tuple[Annotated[int, setting(ge=1, le=1_000_000)], ...] = setting(
        default=(1, 2, 3, 5, 8, 13, 21),
        min_length=1,
        description="Lags of the autocorrelations, in samples.",
    )
    waves: int = setting(default=8, ge=1, le=256, description="Cosines over the window.")
    octaves: int = setting(
        default=6,
        ge=1,
        le=24,
        description="Bands of the spectrum, from the highest frequency down.",
    )
    pairs: int = setting(
        default=16, ge=0, le=256, description="Channels that are correlated in pairs, at most."
    )
    channels: int = setting(
        default=0,
        ge=0,
        le=256,
        description="Channels of each cell. 0: as most training cells have.",
    )

    kinds: ClassVar[tuple[str, ...]] = ("series",)
    flag: ClassVar[str] = "series"
    joined: ClassVar[bool] = False
    default: ClassVar[bool] = True

    @staticmethod
    def bid(sample: Sample) -> Bid | None:
        return share_bid("series", series_share(sample.values, sample.root), "windows of numbers")

    def parse(self, text: str, field: Field) -> Cell:
        return series_query(text, field)

    def fit(
        self, cells: TrainingCells, field: Field, kinds: dict[str, str], runtime: Runtime
    ) -> FittedSeries:
        channels, scales = {}, []
        for name in field.columns:
            values = [(c[name], group) for c, group in cells.present() if name in c]
            opened = list(_opened(values[:: max(1, -(-len(values) // SCALE_CELLS))], cells.root))
            counts = Counter(len(x) for x, _, _ in opened)
            channels[name] = self.channels or max(counts, key=lambda c: (counts[c], -c), default=1)
            used = [one for one in opened if len(one[0]) == channels[name]]
            rows = [self.features(x, holes) for x, holes, _ in used]
            groups, width = np.array([g for _, _, g in used], int), self.width(channels[name])
            scales.append(feature_scales(rows, groups, width, cells.least_groups))
        return FittedSeries(self, channels, np.concatenate(scales, axis=1))

    def load(self, folder: Path, runtime: Runtime) -> FittedSeries:
        values = read_json(folder / "config.json")
        scales = load_arrays(folder / "scales.safetensors")["scales"]
        settings, channels = config.build(Series, values["settings"]), values["channels"]
        if scales.shape != (2, width := sum(map(settings.width, channels.values()))):
            raise GobelinError(
                f"{folder}: scales of {width} features were expected, found"
                f" {' x '.join(map(str, scales.shape))}. {made_anew(folder)}"
            )
        return FittedSeries(settings, channels, scales)

    def width(self, channels: int) -> int:
        """Features of a window with this many channels."""
        of_channel = (
            SINGLE_FEATURES
            + len(VALUE_QUANTILES)
            + len(INCREMENT_QUANTILES)
            + len(ORDER_CODES)
            + len(self.lags)
            + self.waves
            + self.octaves
        )
        related = min(channels, self.pairs)
        return channels * of_channel + related * (related - 1)

    def features(self, x: np.ndarray, holes: np.ndarray) -> np.ndarray:
        """[C, T] without holes and the share of each channel that was filled in, [C] -> float64
        [width(C)]."""
        channels = [channel_features(row, share, self) for row, share in zip(x, holes, strict=True)]
        # Divided by the peak first, so that no product overflows.
        related = _relations([row / (np.abs(row).max() or 1.0) for row in x[: self.pairs]])
        return np.concatenate([*channels, related])


def _opened(
    values: Sequence[tuple[Any, int]], root: Path
) -> Iterator[tuple[np.ndarray, np.ndarray, int]]:
    """Of every value, with its group, the window, its holes and the group."""
    for value, group in values:
        try:
            yield (*open_series(value, root), group)
        except BadCell:  # embedding the rows reports it
            continue


def _stand_in(row: np.ndarray) -> float:
    """The smallest or largest sample of [T], where it is a number such as -999 and far from all
    others; 0 for none."""
    for end in {float(row.min()), float(row.max())} & STAND_INS - {0}:
        others = np.unique(row[~np.isin(row, list(STAND_INS))])
        if len(others) > 2 and is_far(end, others.tolist()):
            return end
    return 0.0


def standard(row: np.ndarray) -> tuple[np.ndarray, float, float]:
    """[T] -> z [T] = (row - median) / spread, asinh of the median, log of the spread. The spread is
    that of the quartiles, or the standard deviation where nearly all samples are the same. A
    constant window has z = 0. No number overflows."""
    peak = float(np.abs(row).max())
    if row.max() == row.min():
        return (
            np.zeros(len(row)),
            float(np.arcsinh(row[0])),
            float(np.log(max(peak, SMALLEST)) - 30),
        )
    y = row / peak  # in [-1, 1]
    low, middle, high = _quantiles(y, (0.25, 0.5, 0.75))
    spread, deviation = float(high - low) / 1.349, float(y.std())
    spread = max(spread if spread > 1e-3 * deviation else deviation, 1e-16)
    return (
        (y - middle) / spread,
        float(np.arcsinh(middle * peak)),
        float(np.log(spread) + np.log(max(peak, SMALLEST))),
    )


def channel_features(row: np.ndarray, holes: float, settings: Series) -> np.ndarray:
    """[T] -> float64, in this order. z: the standardised window; d: its increments; t: time from -1
    to 1.

    Single numbers: level and spread of `standard`; log of the count of samples; share of holes; 1
    for a constant window · trend, Pearson's correlation of z with t · asinh of: last minus first,
    mean of the last tenth, the deepest fall from a peak (drawdown, Magdon-Ismail & Atiya 2004), the
    highest rise from a trough · places of the largest and the smallest sample · half of von
    Neumann's ratio, sum d^2 / sum (z - mean)^2 (1941); share of increments that are 0, and above 0;
    crossings of the median a sample (Kedem 1986) · autocorrelation of |d| at lags 1 and 5, the
    clustering of volatility (Ding, Granger & Engle 1993). Then: asinh of the quantiles of z, and of
    those of d in its own spread · share of each order of three samples in a row (Bandt & Pompe
    2002, eq. 2) · autocorrelations of z (Box & Jenkins 1970, eq. 2.1.13) · cosine transform of z of
    mean square one (type II, Ahmed, Natarajan & Rao 1974) · log share of the power in octaves
    (Schuster's periodogram of 1898 under Hann's window)."""
    z, level, spread = standard(row)
    d, t = np.diff(z), np.linspace(-1, 1, len(z))
    centred = z - z.mean()
    power = float(centred @ centred)
    fall, rise = (float((np.maximum.accumulate(w) - w).max()) for w in (z, -z))
    moves = [z[-1] - z[0], z[-max(1, len(z) // 10) :].mean(), fall, rise]
    places = [z.argmax() / (len(z) - 1), z.argmin() / (len(z) - 1)]
    rough = float(d @ d) / power / 2 if power else 0.0
    crossings = (np.diff(z > 0) != 0).mean()
    sizes = np.abs(d) - np.abs(d).mean()
    single = [
        level,
        spread,
        np.log(len(z)),
        holes,
        float(not z.any()),
        _correlation(z, t),
        *np.arcsinh(moves),
        *places,
        rough,
        (d == 0).mean(),
        (d > 0).mean(),
        crossings,
        *autocorrelations(sizes, (1, 5)),
    ]
    low, high, *steps = _quantiles(d, (0.25, 0.75, *INCREMENT_QUANTILES))
    step = max(float(high - low) / 1.349, 1e-3 * float(d.std())) or 1.0
    return np.concatenate(
        [
            single,
            np.arcsinh(_quantiles(z, VALUE_QUANTILES)),
            np.arcsinh(np.divide(steps, step)),
            orders(z),
            autocorrelations(centred, settings.lags),
            cosines(centred, settings.waves),
            octaves(centred, settings.octaves),
        ]
    )


def _quantiles(x: np.ndarray, shares: Sequence[float]) -> np.ndarray:
    """numpy's quantiles (Hyndman & Fan 1996, type 7), a multiple faster on short windows."""
    ordered, place = np.sort(x), np.asarray(shares) * (len(x) - 1)
    low = place.astype(int)
    return ordered[low] + (ordered[np.minimum(low + 1, len(x) - 1)] - ordered[low]) * (place - low)


def autocorrelations(centred: np.ndarray, lags: Sequence[int]) -> np.ndarray:
    """r_k = c_k / c_0 with c_k = sum_t x_t x_(t+k), of [T] with mean 0; 0 for lags that the window
    is too short for."""
    power = float(centred @ centred)
    return np.array(
        [
            float(centred[k:] @ centred[:-k]) / power if power and k < len(centred) else 0.0
            for k in lags
        ]
    )


def orders(z: np.ndarray) -> np.ndarray:
    """[6]: how often three samples in a row stand in each order; equal ones count as rising."""
    if len(z) < 3:
        return np.zeros(len(ORDER_CODES))
    a, b, c = z[:-2], z[1:-1], z[2:]
    code = (a <= b) * 1 + (b <= c) * 2 + (a <= c) * 4
    return np.bincount(code, minlength=8)[list(ORDER_CODES)] / len(code)


def cosines(centred: np.ndarray, waves: int) -> np.ndarray:
    """[waves]: 2 / T sum_t x_t cos(pi k (t + 1/2) / T), k = 1, 2, ... of x with mean square one; T
    samples have T - 1 waves."""
    size = float(np.sqrt((centred @ centred) / len(centred)))
    out, wave = (
        np.zeros(waves),
        np.pi * np.arange(1, min(waves, len(centred) - 1) + 1 if size else 1)[:, None],
    )
    for start in range(0, len(centred), WAVE_SAMPLES):  # so that a long window needs little memory
        part = centred[start : start + WAVE_SAMPLES]
        out[: len(wave)] += (
            np.cos(wave * ((np.arange(len(part)) + start + 0.5) / len(centred))) @ part
        )
    return 2 / len(centred) * out / (size or 1.0)


def octaves(centred: np.ndarray, count: int) -> np.ndarray:
    """[count]: log of the share (+ 1e-4) of the power in (1/4, 1/2], (1/8, 1/4] ... of the sampling
    rate; the last takes the rest."""
    window = np.hanning(len(centred) + 2)[1:-1]
    spectrum = np.fft.rfft(centred * window)[1:]
    power = spectrum.real**2 + spectrum.imag**2
    total = float(power.sum())
    hertz = np.arange(1, len(power) + 1) / len(centred)
    band = np.clip(np.floor(1e-9 - np.log2(2 * hertz)).astype(int), 0, count - 1)
    share = np.bincount(band, power, minlength=count) / total if total else np.zeros(count)
    return np.log(share + 1e-4)


def _relations(channels: Sequence[np.ndarray]) -> np.ndarray:
    """[C (C - 1)]: for every pair the correlation of the values, and of the increments."""
    both = [
        (_correlation(a, b), _correlation(np.diff(a), np.diff(b)))
        for a, b in combinations(channels, 2)
    ]
    return np.array(both, np.float64).ravel()


def _correlation(a: np.ndarray, b: np.ndarray) -> float:
    """Pearson's; 0 where a side doesn't move."""
    a, b = a - a.mean(), b - b.mean()
    size = float(np.sqrt(a @ a) * np.sqrt(b @ b))
    return float(a @ b) / size if size > 1e-100 else 0.0


class FittedSeries:
    """channels: count of every column. scales: float64 [2, D_f], median and spread of every
    feature."""

    module = None

    def __init__(self, settings: Series, channels: Mapping[str, int], scales: np.ndarray) -> None:
        self.settings, self.channels, self.scales = settings, dict(channels), scales
        self.width = scales.shape[1]

    def key(self, cell: Cell, root: Path) -> bytes:
        keys = {name: series_key(cell[name], root).hex() for name in self.channels if name in cell}
        return bytes.fromhex(fingerprint(keys))[:16]

    def decode(self, cell: Cell, root: Path) -> tuple[np.ndarray, str]:
        """float64 [width]; nan where a column is missing."""
        parts, notes = [], set()
        for name, count in self.channels.items():
            if name not in cell:
                parts.append(np.full(self.settings.width(count), np.nan))
                continue
            try:
                x, holes = open_series(cell[name], root)
            except BadCell as error:
                raise BadCell(str(error), name) from error
            if len(x) != count:
                raise BadCell(
                    f"has {len(x)} channels, {count} were expected (encoders.series.channels)", name
                )
            parts.append(self.settings.features(x, holes))
            if holes.any():
                notes.add("missing samples filled in")
            notes |= {f"samples of {v:g}, which may mean missing" for v in map(_stand_in, x) if v}
        return np.concatenate(parts), ", ".join(sorted(notes))

    def embed(self, batch: Sequence[Any]) -> np.ndarray:
        """float32 [n, width], the scaled features; 0 is the training median, and a missing
        column."""
        return in_spreads(np.stack(list(batch)), self.scales)

    def fingerprint(self) -> str:
        return fingerprint("series", asdict(self.settings), self.channels, self.scales)

    def save(self, folder: Path) -> None:
        write_json(
            folder / "config.json", {"settings": asdict(self.settings), "channels": self.channels}
        )
        save_arrays(folder / "scales.safetensors", {"scales": self.scales})
