"""Units that are converted into each other: of one dimension, with one factor between them."""

from __future__ import annotations

from collections.abc import Collection

# {unit, in lower case and without a plural's s: how many of the first one it is}, by dimension.
# Left out: mw, mv, mpa and mj, whose m says milli or mega; cal, which says 1 or 1000 of them; and
# degrees, which have no common zero.
DIMENSIONS: tuple[dict[str, float], ...] = (
    {
        **{"g": 1.0, "gr": 1.0, "gram": 1.0, "gramme": 1.0, "mg": 1e-3, "µg": 1e-6, "μg": 1e-6},
        **{"kg": 1e3, "kilo": 1e3, "kilogram": 1e3, "t": 1e6, "tonne": 1e6},
        **{"lb": 453.59237, "lbs": 453.59237, "pound": 453.59237, "oz": 28.349523125},
        **{"ounce": 28.349523125},
    },
    {
        **{"m": 1.0, "meter": 1.0, "metre": 1.0, "dm": 0.1, "cm": 0.01, "mm": 1e-3, "µm": 1e-6},
        **{"μm": 1e-6, "nm": 1e-9, "km": 1e3, "kilometer": 1e3, "kilometre": 1e3},
        **{"in": 0.0254, "inch": 0.0254, "inche": 0.0254, "ft": 0.3048, "foot": 0.3048},
        **{"feet": 0.3048, "yd": 0.9144, "yard": 0.9144, "mi": 1609.344, "mile": 1609.344},
        **{'"': 0.0254, "″": 0.0254, "'": 0.3048, "′": 0.3048},
    },
    {
        **{"s": 1.0, "sec": 1.0, "second": 1.0, "ms": 1e-3, "µs": 1e-6, "μs": 1e-6, "ns": 1e-9},
        **{"min": 60.0, "minute": 60.0, "h": 3600.0, "hr": 3600.0, "hour": 3600.0},
        **{"d": 86400.0, "day": 86400.0, "week": 604800.0},
    },
    {
        **{"l": 1.0, "ltr": 1.0, "liter": 1.0, "litre": 1.0, "dl": 0.1, "cl": 0.01, "ml": 1e-3},
        **{"µl": 1e-6, "μl": 1e-6, "hl": 100.0},
    },
    {"b": 1.0, "byte": 1.0, "kb": 1e3, "mb": 1e6, "gb": 1e9, "tb": 1e12},
    {"hz": 1.0, "khz": 1e3, "mhz": 1e6, "ghz": 1e9},
    {"w": 1.0, "watt": 1.0, "kw": 1e3, "gw": 1e9},
    {"v": 1.0, "volt": 1.0, "kv": 1e3},
    {"mah": 1e-3, "ah": 1.0},
    {"pa": 1.0, "hpa": 100.0, "kpa": 1e3, "bar": 1e5, "mbar": 100.0},
    {"km/h": 1.0, "kmh": 1.0, "kph": 1.0, "mph": 1.609344, "m/s": 3.6},
    {"m²": 1.0, "m2": 1.0, "qm": 1.0, "sqm": 1.0, "cm²": 1e-4, "km²": 1e6, "ha": 1e4},
)


def factor(found: str, unit: str) -> float | None:
    """How many of a unit one of the found unit is; None for units of two dimensions."""
    if found == unit:
        return 1.0
    for factors in DIMENSIONS:
        if found in factors and unit in factors:
            return factors[found] / factors[unit]
    return None


def convertible(found: Collection[str]) -> bool:
    """Whether these units are of one dimension."""
    return len(set(found)) == 1 or any(factors.keys() >= set(found) for factors in DIMENSIONS)


def is_usual(unit: str) -> bool:
    """Whether a unit is one that is known here, and no word of somebody's own."""
    return any(unit in factors for factors in DIMENSIONS)
