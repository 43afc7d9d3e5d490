"""Energy of a window and what is derived from it.

- energy = trapezoids over (s, W) samples, where there is no hardware counter; window edges between
  samples are interpolated; the window is cut to the sampled span, never extrapolated
- J/token = energy of a window / OUTPUT tokens generated in the same window; zero tokens is
  undefined, not 0; tokens/J is its inverse, not a separate metric
- EDP = E t, ED2P = E t^2, per request or per token: say which. At fixed work EDP = P t^2
- Zeus cost = eta E + (1 - eta) * max power * t

Gross or net of idle, scope (board, package, wall) and source travel with the value; estimates never
rank with measurements.

Sources: ml-energy/zeus @ 75a8b9398034; EDP: Horowitz et al. 1994. Faults of Zeus's log reader that
are not followed: it drops the LAST sample and subtracts epoch seconds as floats (0.2 us steps, so
its energies are good to 1e-7); its column is in mW.
"""

from __future__ import annotations

from collections.abc import Sequence

from effmark.scores import _check, _trapezoid


def energy_joules(
    samples: Sequence[tuple[float, float]],
    *,
    start_s: float | None = None,
    end_s: float | None = None,
) -> float | None:
    """Return the energy in joules under (s, W) samples, times ascending (equal ones allowed).

    None for fewer than two samples or no duration in the window.
    """
    found = _trapezoid.area_and_duration(samples, start_s, end_s, least=0)
    return None if found is None else found[0]


def joules_per_token(energy_j: float, tokens: float) -> float | None:
    """Return the energy per output token in joules; None for no token."""
    _check.number("energy_j", energy_j, least=0)
    _check.number("tokens", tokens, least=0)
    return energy_j / tokens if tokens > 0 else None


def energy_delay_product(energy_j: float, delay_s: float, *, exponent: float = 1) -> float:
    """Return energy * delay^exponent, in J s for exponent 1 and J s^2 for 2."""
    _check.number("energy_j", energy_j, least=0)
    _check.number("delay_s", delay_s, least=0)
    _check.number("exponent", exponent, least=0)
    return float(energy_j * delay_s**exponent)


def zeus_cost(energy_j: float, time_s: float, *, max_power_w: float, eta: float = 0.5) -> float:
    """Return Zeus's energy-time cost in joules; eta 1 counts energy only, 0 time only."""
    _check.number("energy_j", energy_j, least=0)
    _check.number("time_s", time_s, least=0)
    _check.number("max_power_w", max_power_w, least=0)
    _check.number("eta", eta, least=0, most=1)
    return eta * energy_j + (1 - eta) * max_power_w * time_s
