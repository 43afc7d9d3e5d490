from __future__ import annotations

import base64
import hashlib
import json
import re
import zlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Any

import pytest

from effmark.errors import StoreError
from effmark.record import Missing, Record
from effmark.report.page import render_page, write_page
from effmark.report.page_data import page_data
from effmark.report.page_pack import packed_size
from effmark.rows import Number, Row, make_rows

HOSTILE = "</script><img src=x onerror=alert(1)>\u2028../../etc/passwd"


def data_of(page: str) -> Any:
    found = re.search(r'<script type="application/json[^"]*" id="data">(.*?)</script>', page, re.S)
    assert found
    return json.loads(zlib.decompress(base64.b64decode(found[1], validate=True)))


def many(rows: list[Row], count: int) -> list[Row]:
    """Return rows whose numbers all differ, so that nothing packs better than real ones do."""
    random = Random(1)

    def other(number: Number | Missing) -> Number | Missing:
        if isinstance(number, Missing):
            return number
        factor = random.uniform(0.5, 2)
        low, high = (None if b is None else b * factor for b in (number.low, number.high))
        return replace(number, value=number.value * factor, low=low, high=high)

    found = [rows[i % len(rows)] for i in range(count)]
    return [replace(r, metrics={name: other(n) for name, n in r.metrics.items()}) for r in found]


def test_the_page_holds_every_row_and_loads_nothing(demo_rows: list[Row]) -> None:
    page = render_page(demo_rows)
    assert len(data_of(page)["rows"]) == len(demo_rows)
    assert re.fullmatch(r"[A-Za-z0-9+/=]*", page.split('id="data">')[1].split("</script>")[0])
    rest = re.sub(r'id="data">[^<]*', "", page)
    assert "http" not in re.sub(r"http://www\.w3\.org/2000/svg|http-equiv", "", rest)


def test_only_the_script_and_style_of_the_page_may_run(demo_rows: list[Row]) -> None:
    page = render_page(demo_rows[:2])
    for tag in ("style", "script"):
        text = re.findall(rf"<{tag}>(.*?)</{tag}>", page, re.S)[0]
        digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
        assert f"{tag}-src 'sha256-{digest}'" in page


def test_no_script_of_the_page_makes_markup_from_text() -> None:
    page = render_page([])
    for door in ("innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval("):
        assert door not in page


def test_a_hostile_name_cannot_leave_the_data(make_record: Callable[..., Record]) -> None:
    page = render_page(make_rows([make_record(HOSTILE, blocks=8)]))
    assert "<img" not in page
    assert HOSTILE.replace("\u2028", " ") in data_of(page)["texts"]


def test_a_name_cannot_turn_its_letters_around(make_record: Callable[..., Record]) -> None:
    data = page_data(make_rows([make_record("safe-\u202egnp.exe", blocks=8)]))
    assert "safe-�gnp.exe" in data["texts"]
    assert not any("\u202e" in text for text in data["texts"])


def test_a_hostile_suite_name_is_escaped_in_the_heading(
    make_record: Callable[..., Record],
) -> None:
    made = make_record(blocks=8)
    suite = made.suite.model_copy(update={"name": "<b>x"})
    page = render_page(make_rows([made.model_copy(update={"suite": suite})]))
    assert "<b>x" not in page and "&lt;b&gt;x" in page


def test_curves_have_at_most_sixty_points(make_record: Callable[..., Record]) -> None:
    (row,) = page_data(make_rows([make_record(blocks=300)]))["rows"]
    assert len(row["cell"]["series"]["values"]) <= 61
    assert row["cell"]["series"]["per_point"] > 1
    assert len(row["cell"]["tokens"]["mid"]) <= 60


def test_a_missing_number_is_written_with_its_reason_never_as_zero(
    demo_rows: list[Row],
) -> None:
    for row in page_data(demo_rows)["rows"]:
        assert not set(row["numbers"]) & set(row["missing"])
        assert all(number[0] is not None for number in row["numbers"].values())


def test_an_early_failure_stands_with_the_machine_of_its_run(
    make_record: Callable[..., Record], make_failed: Callable[..., Record]
) -> None:
    early = make_failed("failed_setup", "no module").model_copy(update={"environment": None})
    early = early.model_copy(update={"cell": early.cell.model_copy(update={"adapter": "openvino"})})
    data = page_data(make_rows([make_record(blocks=8), early]))
    assert len({row["machine"] for row in data["rows"]}) == 1


def test_many_cells_stay_below_three_megabytes_and_the_page_says_what_is_left_out(
    demo_rows: list[Row],
) -> None:
    page = render_page(many(demo_rows, 6000))
    assert 2_000_000 < len(page.encode()) < 3_000_000
    left_out = data_of(page)["left_out"]
    assert left_out["details"] > 0 and left_out["draws"] and left_out["rows"] == 0


def test_the_best_of_each_headline_stay_where_not_even_all_rows_fit(
    demo_rows: list[Row], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("effmark.report.page_data.PAGE_BYTES", 60_000)
    rows = many(demo_rows, 600)
    data = page_data(rows)
    assert 0 < data["left_out"]["rows"] < 600 and packed_size(data) < 60_000
    best = min(n.value for row in rows if (n := row.number("tpot_s")))
    shown = [row["numbers"]["tpot_s"][0] for row in data["rows"] if "tpot_s" in row["numbers"]]
    assert min(shown) == pytest.approx(best, rel=1e-6)


def test_ten_thousand_models_with_long_hostile_names_stay_below_three_megabytes(
    make_record: Callable[..., Record],
) -> None:
    (row,) = make_rows([make_record(blocks=8)])

    def renamed(name: str) -> Row:
        model = row.record.cell.model.model_copy(update={"name": name})
        cell = row.record.cell.model_copy(update={"model": model})
        return Row(row.record.model_copy(update={"cell": cell}), row.records, row.metrics)

    page = render_page([renamed(f"{i} {'<&' * 125}") for i in range(10_000)])
    assert len(page.encode()) < 3_000_000
    assert data_of(page)["left_out"]["rows"] == 0


def test_a_page_of_those_that_lead_says_how_many_there_are(demo_rows: list[Row]) -> None:
    data = page_data(demo_rows, cells=1000, records=5000)
    assert data["left_out"]["rows"] == 1000 - len(demo_rows)
    assert "1,000 cells of 5,000 records" in data["facts"]


def test_unreadable_lines_are_counted() -> None:
    data = page_data([], [f"file:{i}: torn" for i in range(50)])
    assert data["damage"]["count"] == 50 and len(data["damage"]["places"]) == 20


def test_the_page_appears_in_one_step_and_leaves_no_other_file(tmp_path: Path) -> None:
    target = tmp_path / "new" / "index.html"
    assert write_page([], target) == target
    assert [p.name for p in target.parent.iterdir()] == ["index.html"]


def test_a_page_that_cannot_be_written_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="cannot be written"):
        write_page([], tmp_path / "file" / "index.html")
