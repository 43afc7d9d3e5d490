"""Tables that ship with effmark: grid carbon, prices, powers of devices; dated and sourced.

Every row names its source and the date of the figure. A suite may replace a figure; what was used
stands in the record. An unknown country or device is Missing, never a default country.
"""

from __future__ import annotations

import re
from functools import cache
from importlib.resources import files
from typing import Any

import yaml

from effmark.schema import Frozen

__all__ = ["CarbonRow", "CpuRow", "PriceRow", "carbon_of", "cpu_powers", "prices_of"]


class CarbonRow(Frozen):
    """Carbon intensity of the electricity of a country in a year."""

    country: str
    """ISO 3166-1 alpha-3."""
    year: int
    g_per_kwh: float
    """Grams of CO2 equivalent per kWh of electricity generated."""
    source: str
    date: str


class PriceRow(Frozen):
    """What something costs."""

    name: str
    """`electricity/DEU`, or a device by name."""
    price: float
    unit: str
    """`EUR/kWh`, `USD/h` …"""
    source: str
    date: str


class CpuRow(Frozen):
    """Power of one logical CPU of a family."""

    name: str
    match: str
    """Regular expression on the name of the CPU; the first row that matches counts."""
    idle_w: float
    max_w: float
    source: str
    date: str


@cache
def _table(name: str) -> dict[str, Any]:
    text = files("effmark").joinpath("data", f"{name}.yaml").read_text()
    table: dict[str, Any] = yaml.safe_load(text)
    return table


def carbon_of(country: str, year: int | None = None) -> CarbonRow | None:
    """Return the intensity of a country, the latest year not after `year`, None if unknown."""
    table = _table("carbon")
    shared = {"source": table["source"], "date": table["date"]}
    rows = [CarbonRow(**{**shared, **row}) for row in table["rows"]]
    fit = [r for r in rows if r.country == country.upper() and (year is None or r.year <= year)]
    return max(fit, key=lambda row: row.year, default=None)


def prices_of(name: str) -> list[PriceRow]:
    """Return the prices of a thing, newest first."""
    table = _table("prices")
    rows = [PriceRow(**row) for row in table["rows"]]
    fit = [r for r in rows if r.name.lower() == name.lower()]
    return sorted(fit, key=lambda row: row.date, reverse=True)


def cpu_powers(cpu: str) -> CpuRow:
    """Return the power of one logical CPU; the last row of the table fits every CPU."""
    table = _table("devices")
    shared = {"source": table["source"], "date": table["date"]}
    rows = [CpuRow(**{**shared, **row}) for row in table["cpus"]]
    return next(row for row in rows if re.search(row.match, cpu, re.IGNORECASE))
