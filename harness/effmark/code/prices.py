"""What calls cost: by the token from a dated table, or by the hour on own hardware."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from pydantic import ValidationError

from effmark.code.ledger import Call
from effmark.errors import SpecError
from effmark.metrics import LARGEST
from effmark.probes.tables import PriceRow
from effmark.regular_files import given_bytes
from effmark.scores import attempt_cost, run_cost
from effmark.strict_json import decoded_text
from effmark.strict_yaml import parse_yaml

__all__ = ["CURRENCIES", "Currency", "Prices", "read_prices"]

Currency = Literal["usd", "j", "s", "flop"]
CURRENCIES: tuple[Currency, ...] = ("usd", "j", "s", "flop")
_AMOUNT = {"j": "energy_j", "s": "wall_s", "flop": "work_flop"}
_PER_TOKEN = {"USD/token": 1.0, "USD/Mtoken": 1e-6}
_PARTS = ("prompt", "completion", "cached")


@dataclass(frozen=True)
class Prices:
    """Prices that a call's own line does not give."""

    per_token: dict[str, float] = field(default_factory=dict)
    """USD per token by `MODEL/prompt`, `MODEL/completion`, `MODEL/cached`."""
    version: str | None = None
    """Version of the table, where there is one."""
    usd_per_device_hour: float | None = None
    devices: int = 1
    usd_per_kwh: float | None = None

    def cost(self, call: Call, currency: Currency) -> float:
        """Return what a call cost, in the currency.

        Raises:
            SpecError: the line does not say it and no price is known: never taken as 0.
        """
        if currency != "usd":
            name = _AMOUNT[currency]
            if name not in call.amounts:
                raise SpecError(f"{call.where}: no {name}; --currency {currency} needs it")
            return call.amounts[name]
        if "usd" in call.amounts:
            return call.amounts["usd"]
        if self.usd_per_device_hour is not None and not self._sold_by_the_token(call):
            return self._by_the_hour(call, self.usd_per_device_hour)
        return self._by_the_token(call)

    def rests_on_estimates(self, calls: Iterable[Call], currency: Currency) -> bool:
        """Return whether joules that nobody measured are part of the cost of some call."""
        counted = currency == "j" or (currency == "usd" and self.usd_per_kwh is not None)
        return counted and any(call.energy_source == "model_estimate" for call in calls)

    @property
    def told(self) -> str:
        """Return where prices come from, in words for people; part of what must agree."""
        told = ["of the ledger"]
        if self.version is not None:
            told.append(f"table {self.version}")
        if self.usd_per_device_hour is not None:
            devices = "" if self.devices == 1 else f" x{self.devices}"
            told.append(f"{self.usd_per_device_hour:g} USD/h{devices}")
        if self.usd_per_kwh is not None:
            told.append(f"{self.usd_per_kwh:g} USD/kWh")
        return ", ".join(told[1:] or told)

    def _sold_by_the_token(self, call: Call) -> bool:
        """Return whether the line or the table has a price per token: hours are for the others."""
        in_line = any(f"usd_per_{part}_token" in call.amounts for part in _PARTS)
        return in_line or any(f"{call.model}/{part}" in self.per_token for part in _PARTS)

    def _by_the_hour(self, call: Call, usd_per_device_hour: float) -> float:
        for name in ("wall_s", *(["energy_j"] if self.usd_per_kwh is not None else [])):
            if name not in call.amounts:
                raise SpecError(f"{call.where}: no {name}; a price by the hour needs it")
        return run_cost(
            call.amounts["wall_s"],
            self.devices,
            usd_per_device_hour,
            energy_j=call.amounts["energy_j"] if self.usd_per_kwh is not None else 0.0,
            usd_per_kwh=self.usd_per_kwh or 0.0,
        )

    def _by_the_token(self, call: Call) -> float:
        for name in ("prompt_tokens", "completion_tokens"):
            if name not in call.amounts:
                raise SpecError(f"{call.where}: no {name}; a price by the token needs it")
        cached = call.amounts.get("cached_tokens", 0.0)
        fresh = call.amounts["prompt_tokens"] - cached
        prompt, completion = self._price(call, "prompt"), self._price(call, "completion")
        if not prompt and not completion:
            raise SpecError(
                f"{call.where}: all tokens of {call.model!r} are free: an unknown price is left "
                "out, never 0; what costs no money is counted by --currency j, s or flop"
            )
        cost = attempt_cost(fresh, call.amounts["completion_tokens"], prompt, completion)
        return cost + (cached * self._price(call, "cached") if cached else 0.0)

    def _price(self, call: Call, part: str) -> float:
        own = call.amounts.get(f"usd_per_{part}_token")
        price = self.per_token.get(f"{call.model}/{part}") if own is None else own
        if price is None:
            raise SpecError(
                f"{call.where}: price of {call.model!r} per {part} token is unknown; give "
                f"usd_per_{part}_token, --prices, or --usd-per-device-hour"
            )
        return price


def read_prices(path: Path) -> tuple[dict[str, float], str]:
    """Return USD per token by `MODEL/part`, and the table's version; rows as in `prices.yaml`.

    Raises:
        SpecError: the file is not such a table, or a price is impossible.
    """
    what = f"prices {str(path)!r}"
    table = parse_yaml(decoded_text(given_bytes(path, "prices"), what), what).data
    try:
        rows = [PriceRow(**row) for row in table["rows"]]
        version = str(table["version"])
    except (ValidationError, KeyError, TypeError) as error:
        why = str(error).replace("\n", " ")
        raise SpecError(
            f"{what}: needs version and rows of name, price, unit, date, source: {why[:200]}"
        ) from error
    _check_names([row.name for row in rows], what)
    return {row.name: _per_token(row, path) for row in rows if "token" in row.unit}, version


def _check_names(names: Sequence[str], what: str) -> None:
    twice = [name for name, often in Counter(names).items() if often > 1]
    if twice:
        raise SpecError(f"{what}: {twice[0]!r} has several prices, wants one")


def _per_token(row: PriceRow, path: Path) -> float:
    part = row.name.rpartition("/")[2]
    if part not in _PARTS or row.unit not in _PER_TOKEN:
        raise SpecError(
            f"prices {str(path)!r}: {row.name!r} in {row.unit!r}; give MODEL/prompt, "
            f"MODEL/completion or MODEL/cached in {' or '.join(_PER_TOKEN)}"
        )
    if not 0 <= row.price <= LARGEST:
        raise SpecError(f"prices {str(path)!r}: {row.name!r}: price must be from 0 to {LARGEST:g}, "
                        f"got {row.price!r}; leave out what is unknown")  # fmt: skip
    return row.price * _PER_TOKEN[row.unit]
