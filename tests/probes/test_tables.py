from __future__ import annotations

import re
from typing import Any

import pytest

from effmark.probes.tables import carbon_of, cpu_powers, device_price, prices_of, rates_used
from effmark.record import Block, EnergyReading, Environment, Missing, RatesUsed
from effmark.rows import make_rows
from effmark.spec import Decode, Rates
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


MACHINE = Environment(
    host="h", system="s", cpu="AMD EPYC 7R13 Processor", cores_count=4, memory_b=1, python="p",
    accelerators=("NVIDIA H100 80GB HBM3",),
)  # fmt: skip


def used(device: str = "cpu", machine: Environment = MACHINE, **asked: object) -> RatesUsed:
    return rates_used(Rates.model_validate(asked), machine, device)


def test_rates_come_from_the_tables_by_country_and_device(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("EFFMARK_COUNTRY", raising=False)
    monkeypatch.setattr("os.cpu_count", lambda: 8)
    found = used(country="DEU")
    assert found.carbon is not None
    assert (found.carbon.value, found.carbon.unit) == (381, "g/kWh")
    assert found.electricity is not None
    assert found.electricity.value == pytest.approx(0.3943 * 1.0824)
    assert "ECB" in found.electricity.source  # who says what a euro is worth
    assert found.device is not None
    assert found.device.value == pytest.approx(8 * 0.03825)  # of all logical CPUs
    assert found.unknown == {}
    two = used("cuda:0,1").device
    assert two is not None
    assert two.value == pytest.approx(2 * 4.916)
    assert all(rate.source and rate.date for rate in (found.carbon, found.electricity, two))


def test_the_machine_may_tell_its_country_and_the_suite_goes_first(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("EFFMARK_COUNTRY", "fra")
    assert (found := used().carbon) is not None
    assert found.value == 56
    own = used(country="DEU", g_per_kwh=12.5, usd_per_kwh=0.1, usd_per_device_hour=2.0,
               source="our contract", date="2026-10")  # fmt: skip
    figures = [own.carbon, own.electricity, own.device]
    assert [rate and rate.value for rate in figures] == [12.5, 0.1, 2.0]
    assert {(rate.source, rate.date) for rate in figures if rate} == {("our contract", "2026-10")}


def test_what_no_table_knows_is_missing_with_the_remedy_and_never_zero(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("EFFMARK_COUNTRY", raising=False)
    machine = MACHINE.model_copy(update={"cpu": "some CPU", "accelerators": ()})
    found = used(machine=machine)
    assert (found.carbon, found.electricity, found.device) == (None, None, None)
    assert "EFFMARK_COUNTRY" in found.unknown["carbon"]
    assert "rates.usd_per_device_hour" in found.unknown["device"]
    elsewhere = used(machine=machine, country="XXX", year=1990)
    assert "XXX" in elsewhere.unknown["carbon"]
    assert "rates.usd_per_kwh" in elsewhere.unknown["electricity"]
    assert device_price("Voodoo 2") is None
    with pytest.raises(ValueError, match="greater than 0"):
        Rates(usd_per_kwh=0)


def test_rows_carry_carbon_and_money_of_their_energy_and_time(make_record: Any) -> None:
    reading = EnergyReading(
        joules=7200, source="hw_counter", scope="package", probe="rapl", device_id="0",
        start_s=0.0, end_s=2.0, units={"output_tokens": 4.0, "requests": 2.0}, err_window_rel=0.001,
        err_sys_rel=0.05,
    )  # fmt: skip
    rates = used(g_per_kwh=500, usd_per_kwh=0.25, usd_per_device_hour=3.6)
    record = make_record(energy=(reading,)).model_copy(update={"rates": rates})
    (row,) = make_rows([record])
    values = {name: n.value for name in row.metrics if (n := row.number(name)) is not None}
    assert values["carbon_g_per_output_token"] == pytest.approx(7200 / 3.6e6 * 500 / 4)
    assert values["electricity_usd_per_request"] == pytest.approx(7200 / 3.6e6 * 0.25 / 2)
    seconds = sum(b.end_s - b.start_s for b in record.blocks)
    tokens = sum(len(b.steps_s) * b.sequences for b in record.blocks)
    assert values["device_usd_per_output_token"] == pytest.approx(seconds * 3.6 / 3600 / tokens)
    per_token = row.number("energy_j_per_output_token")
    assert per_token is not None
    assert "window ±0.1 %; sensor ±5 % apart" in per_token.method
    unknown = record.model_copy(update={"rates": RatesUsed(unknown={"carbon": "no country"})})
    missing = make_rows([unknown])[0].metrics["carbon_g_per_output_token"]
    assert isinstance(missing, Missing)
    assert missing.detail == "no country"
    assert not [name for name in make_rows([make_record(energy=(reading,))])[0].metrics
                if name.startswith(("carbon", "electricity", "device_usd"))]  # fmt: skip


def test_an_interval_of_energy_holds_the_error_of_its_windows_and_of_the_gross_for_the_net(
    make_record: Any,
) -> None:
    readings = tuple(
        EnergyReading(
            joules=100.0, net_joules=1.0, idle_w=49.5, source="hw_counter", scope="package",
            probe="rapl", device_id="0", start_s=2.0 * i, end_s=2.0 * i + 2,
            units={"output_tokens": 10.0}, err_window_rel=0.01, err_sys_rel=0.05,
        )
        for i in range(8)
    )  # fmt: skip
    (row,) = make_rows([make_record(energy=readings)])
    gross, net = (row.number(f"{n}energy_j_per_output_token") for n in ("", "net_"))
    assert gross is not None
    assert net is not None
    assert (gross.value, gross.low, gross.high) == pytest.approx((10, 9.9, 10.1))
    assert (net.value, net.low, net.high) == pytest.approx((0.1, 0.0, 0.2))
    (alone,) = make_rows([make_record(energy=readings[:1])])
    number = alone.number("energy_j_per_output_token")
    assert number is not None
    assert number.low is None  # how much windows differ cannot be known from one


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
    assert found.units["steps"] == pytest.approx(19 * min(1, 2.0 / steps[-1]), abs=1)
