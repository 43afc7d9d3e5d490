"""Tables that ship with effmark: grid carbon, prices, powers of devices; dated and sourced.

Every row names its source and the date of the figure. A suite may replace a figure; what was used
stands in the record. An unknown country or device is missing, never a default country, never 0.
"""

from __future__ import annotations

import os
import re
from functools import cache
from importlib.resources import files
from typing import Any

import yaml

from effmark.record import Environment, Rate, RatesUsed
from effmark.schema import Frozen
from effmark.spec import Rates

__all__ = [
    "CarbonRow",
    "CpuRow",
    "DeviceRow",
    "PriceRow",
    "carbon_of",
    "cpu_powers",
    "device_price",
    "prices_of",
    "rates_used",
]


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


class DeviceRow(PriceRow):
    """What an hour of one accelerator or one logical CPU costs."""

    match: str
    """Regular expression on the name of the device; the first row that matches counts."""


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


def device_price(name: str) -> DeviceRow | None:
    """Return the price of an hour of an accelerator or of one logical CPU, None if unknown."""
    rows = [DeviceRow(**row) for row in _table("prices")["devices"]]
    return next((row for row in rows if re.search(row.match, name, re.IGNORECASE)), None)


def cpu_powers(cpu: str) -> CpuRow:
    """Return the power of one logical CPU; the last row of the table fits every CPU."""
    table = _table("devices")
    shared = {"source": table["source"], "date": table["date"]}
    rows = [CpuRow(**{**shared, **row}) for row in table["cpus"]]
    return next(row for row in rows if re.search(row.match, cpu, re.IGNORECASE))


def rates_used(asked: Rates, environment: Environment, device: str) -> RatesUsed:
    """Return carbon intensity and prices for a cell: the suite's own figures, else the tables'."""
    country = (asked.country or os.environ.get("EFFMARK_COUNTRY", "")).upper()
    found = {
        "carbon": _given(asked, asked.g_per_kwh, "g/kWh") or _carbon(country, asked.year),
        "electricity": _given(asked, asked.usd_per_kwh, "USD/kWh") or _electricity(country, asked),
        "device": _device(asked, environment, device),
    }
    known = {name: rate for name, rate in found.items() if isinstance(rate, Rate)}
    unknown = {name: why for name, why in found.items() if isinstance(why, str)}
    return RatesUsed(**known, unknown=unknown)


_NO_COUNTRY = "no country is known; set EFFMARK_COUNTRY=DEU, say, or rates.country in the suite"


def _given(asked: Rates, value: float | None, unit: str) -> Rate | None:
    """Return a figure that the suite gives itself."""
    if value is None:
        return None
    return Rate(value=value, unit=unit, source=asked.source, date=asked.date)


def _carbon(country: str, year: int | None) -> Rate | str:
    row = carbon_of(country, year) if country else None
    if row is None:
        wanted = f"{country}, year {year or 'any'}"
        missing = f"the table of carbon has no {wanted}; give rates.g_per_kwh in the suite"
        return missing if country else _NO_COUNTRY
    source = f"{row.country} {row.year}: {row.source}"
    return Rate(value=row.g_per_kwh, unit="g/kWh", source=source, date=row.date)


def _electricity(country: str, asked: Rates) -> Rate | str:
    rows = prices_of(f"electricity/{country}") if country else []
    rows = [r for r in rows if asked.year is None or int(r.date[:4]) <= asked.year]
    if not rows:
        missing = f"the table of prices has no electricity/{country}; give rates.usd_per_kwh"
        return f"{missing} in the suite" if country else _NO_COUNTRY
    row = rows[0]
    currency = row.unit.partition("/")[0]
    if currency == "USD":
        return Rate(value=row.price, unit="USD/kWh", source=f"{country}: {row.source}",
                    date=row.date)  # fmt: skip
    worth = prices_of(f"currency/{currency}")[0]
    source = f"{country}: {row.source}; {worth.price:g} {worth.unit}, {worth.source}"
    return Rate(value=row.price * worth.price, unit="USD/kWh", source=source, date=row.date)


def _device(asked: Rates, environment: Environment, device: str) -> Rate | str:
    """Return the price of an hour of all devices of a cell."""
    kind, _, numbers = device.partition(":")
    count = 1 if kind == "cpu" else max(1, len([n for n in numbers.split(",") if n]))
    if asked.usd_per_device_hour is not None:
        value = count * asked.usd_per_device_hour
        return Rate(value=value, unit="USD/h", source=asked.source, date=asked.date)
    names = [environment.cpu] if kind == "cpu" else sorted(set(environment.accelerators))
    if len(names) != 1:
        told = f"devices of {len(names)} kinds" if names else f"the name of {device} is not known"
        return f"{told}; give rates.usd_per_device_hour in the suite"
    row = device_price(names[0])
    if row is None:
        missing = f"the table of prices has no {names[0]!r}"
        return f"{missing}; give rates.usd_per_device_hour in the suite"
    units = (os.cpu_count() or 1) if kind == "cpu" else count
    source = f"{units} x {row.name}: {row.source}"
    return Rate(value=units * row.price, unit="USD/h", source=source, date=row.date)
