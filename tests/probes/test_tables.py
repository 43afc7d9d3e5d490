from __future__ import annotations

import re

import pytest

from effmark.probes.tables import carbon_of, cpu_powers, prices_of
from effmark.record import Block, EnergyReading
from effmark.spec import Decode
from effmark.workloads.energy_units import with_units


def test_intensities_have_country_year_source_and_date() -> None:
    row = carbon_of("deu")
    assert row is not None
    assert row.g_per_kwh == pytest.approx(381, abs=1)
    assert row.year == 2023
    assert "Ember" in row.source
    assert re.fullmatch(r"\d{4}-\d{2}", row.date)
    assert carbon_of("DEU", 1990) is None
    assert carbon_of("XXX") is None  # no default country


def test_prices_have_unit_source_and_date_and_unknown_ones_are_none() -> None:
    (row,) = prices_of("electricity/DEU")
    assert (row.price, row.unit) == (0.3943, "EUR/kWh")
    assert prices_of("electricity/XXX") == []


@pytest.mark.parametrize(
    ("cpu", "name"),
    [
        ("AMD EPYC 7R32", "AMD EPYC Rome"),
        ("AMD EPYC 7551 32-Core Processor", "AMD EPYC Naples"),
        ("AMD EPYC 9654", "AMD EPYC Milan and later"),
        ("Intel(R) Xeon(R) CPU E5-2690 v4 @ 2.60GHz", "Intel Broadwell"),
        ("Intel(R) Xeon(R) Platinum 8259CL CPU", "Intel Cascade Lake"),
        ("something else", "average of a cloud's servers"),
    ],
)
def test_a_cpu_is_found_by_its_name(cpu: str, name: str) -> None:
    row = cpu_powers(cpu)
    assert row.name == name
    assert 0 < row.idle_w < row.max_w


@pytest.mark.parametrize(("step_s", "risky"), [(0.1003, True), (0.0501, True), (0.137, False)])
def test_steps_that_keep_time_with_a_part_time_sensor_are_told(step_s: float, risky: bool) -> None:
    reading = EnergyReading(
        joules=100, source="hw_counter", scope="gpu_board", probe="nvml", device_id="GPU-a",
        start_s=0.0, end_s=2.0,
    )  # fmt: skip
    steps = tuple(step_s * i for i in range(1, 20))
    block = Block(start_s=0.0, end_s=steps[-1], steps_s=steps)
    found = with_units(reading, [block], Decode(prompt_tokens=8, new_tokens=19))
    assert any("aliasing_risk" in reason for reason in found.reasons) is risky
