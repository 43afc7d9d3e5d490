from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from effmark.record import Record
from effmark.report.cell_places import cell_places
from effmark.report.configurations import machines_of
from effmark.report.page_row import row_id
from effmark.rows import Row, make_rows
from effmark.spec import Decode, Text
from effmark.units import format_quantity

OpenPage = Callable[..., Any]
TEXT = Text(name="austen", tokens=4096)
HOSTILE = "<img src=x onerror=alert(1)>[x](javascript:alert(2))|../../etc/passwd"


def names(page: Any) -> list[str]:
    """Return model and runtime of every line, in full however long they are."""
    found: list[str] = page.evaluate(
        """() => [...document.querySelectorAll("#body tr .open")]
        .map((b) => [...b.children].map((c) => c.textContent).join(" "))"""
    )
    return found


def ranked(page: Any) -> list[str]:
    found: list[str] = page.locator("#body tr.ranked .rank").all_inner_texts()
    return [rank.strip() for rank in found]


def values(page: Any, label: str) -> list[str]:
    found: list[str] = page.locator(f'#body tr.ranked td[data-label="{label}"]').all_inner_texts()
    return found


def shown_values(page: Any, metric: str) -> list[float]:
    """Return the numbers by which the ranked lines are ordered."""
    found: list[float] = page.evaluate(
        """(metric) => { const { items, places } = effmark.standings();
        return items.filter((i) => places.get(i).low !== undefined)
                    .map((i) => effmark.numberOf(i, metric).value); }""",
        metric,
    )
    return found


def test_a_click_on_a_heading_ranks_by_it_and_says_so(open_page: OpenPage) -> None:
    page = open_page()
    page.click('[data-metric="accuracy"]')
    found = shown_values(page, "accuracy")
    assert found == sorted(found, reverse=True)
    assert page.locator('th:has([data-metric="accuracy"])').get_attribute("aria-sort") == (
        "descending"
    )
    assert ranked(page)[0].startswith("1")


def test_a_second_click_turns_the_order_but_not_the_ranks(open_page: OpenPage) -> None:
    page = open_page()
    first = ranked(page)
    page.click('[data-metric="tpot_s"]')
    assert ranked(page)[-1] == first[0]


def test_headings_work_from_the_keyboard(open_page: OpenPage) -> None:
    page = open_page()
    page.focus('[data-metric="ttft_s"]')
    page.keyboard.press("Enter")
    assert "by=ttft_s" in page.url
    assert page.evaluate("document.activeElement.dataset.metric") == "ttft_s"


def test_a_filter_keeps_only_what_was_chosen(open_page: OpenPage) -> None:
    page = open_page()
    page.click('details[data-name="adapter"] summary')
    page.check('[data-key="adapter openvino"]')
    assert names(page) and all("openvino" in name for name in names(page))


def test_a_budget_ranks_again_at_once_and_answers_in_a_sentence(open_page: OpenPage) -> None:
    page = open_page()
    before = len(ranked(page))
    slider = page.locator('[data-key="limit latency"]')
    slider.focus()
    for _ in range(30):
        page.keyboard.press("ArrowRight")
    assert 0 < len(ranked(page)) < before
    assert "with TPOT ≤" in page.inner_text("#answer")
    assert "latency=tpot_s" in page.url
    assert page.evaluate("document.activeElement.type") == "range"


@pytest.mark.parametrize(
    ("typed", "bound"), [("2 ms", 0.002), ("≤ 1.5ms", 0.0015), ("0.9", 0.0009), ("1500 µs", 0.0015)]
)
def test_a_budget_can_be_typed(open_page: OpenPage, typed: str, bound: float) -> None:
    page = open_page()
    page.fill('[data-key="typed latency"]', typed)
    page.keyboard.press("Enter")
    assert page.evaluate("effmark.state.latency") == {"metric": "tpot_s", "bound": bound}
    assert all(value <= bound for value in shown_values(page, "tpot_s"))


def test_nonsense_is_no_budget(open_page: OpenPage) -> None:
    page = open_page()
    page.fill('[data-key="typed latency"]', "fast, please")
    page.keyboard.press("Enter")
    assert page.evaluate("effmark.state.latency") is None
    assert page.input_value('[data-key="typed latency"]') == "any"


def test_the_best_accuracy_under_two_budgets_is_one_link(open_page: OpenPage) -> None:
    page = open_page(hash_="#by=accuracy&latency=tpot_s:0.002&memory=peak_memory_b:230000000")
    answer = page.inner_text("#answer")
    assert "highest accuracy" in answer and "peak memory ≤ 230 MB" in answer
    assert max(shown_values(page, "accuracy")) == shown_values(page, "accuracy")[0]


def test_the_strictest_budget_still_keeps_the_best(open_page: OpenPage) -> None:
    page = open_page()
    page.locator('[data-key="limit memory"]').focus()
    page.keyboard.press("End")
    assert len(ranked(page)) >= 1


def test_a_missing_number_does_not_meet_a_limit(open_page: OpenPage) -> None:
    page = open_page(hash_="#quality=bits_per_byte:3")
    line = page.locator("#body tr", has_text="effmark-1m").filter(has_text="llama-cpp q8_0")
    assert "over the limit" in line.inner_text()


def test_a_link_shows_the_same_page_again(open_page: OpenPage) -> None:
    page = open_page()
    page.click('[data-metric="accuracy"]')
    page.click('details[data-name="precision"] summary')
    page.check('[data-key="precision int4"]')
    again = open_page(hash_="#" + page.url.split("#")[1])
    assert names(again) == names(page) and ranked(again) == ranked(page)


@pytest.mark.parametrize("address", ["#by=nonsense", "#model=%7B", "#latency=tpot_s:x", "#cell=0"])
def test_a_broken_link_still_shows_the_page(open_page: OpenPage, address: str) -> None:
    assert names(open_page(hash_=address))


def test_what_must_not_rank_is_shown_after_the_others_with_its_reason(
    open_page: OpenPage,
) -> None:
    page = open_page()
    last = page.locator("#body tr.unranked").all_inner_texts()
    assert [t.split()[0] for t in last] == ["invalid", "emulated", "unsupported"]
    assert "broken" in last[0]


def test_estimates_rank_only_when_asked_for(open_page: OpenPage) -> None:
    page = open_page(hash_="#by=energy_j_per_output_token")
    before = len(ranked(page))
    page.check('[data-key="switch estimated"]')
    assert len(ranked(page)) == before + 2


def test_a_cell_opens_shows_its_story_and_closes_by_escape(open_page: OpenPage) -> None:
    page = open_page()
    page.locator("#body .open", has_text="openvino int4").first.click()
    told = page.inner_text("#cell")
    for part in (
        "Numbers",
        "Missing, and why",
        "TPOT of every block",
        "Distribution",
        "TTFT and gaps",
        "Power over time",
        "Memory over time",
        "Repeat it",
        "effmark run",
        "effmark rerun",
        "Provenance",
    ):
        assert part in told
    assert "cell=" in page.url
    page.keyboard.press("Escape")
    assert not page.is_visible("#cell") and "cell=" not in page.url


def test_the_answer_stands_first_with_its_interval_and_who_may_be_as_good(
    open_page: OpenPage,
) -> None:
    page = open_page()
    answer = page.inner_text("#answer")
    assert answer.startswith("On AMD EPYC 7763 x2, ") and "lowest TPOT: " in answer
    assert "±" in answer and names(page)[0].split()[0] in answer
    assert "ahead of" in page.inner_text("#counted")
    tiles = page.locator("#tiles .tile").all_inner_texts()
    assert any("TPOT" in tile and "torch fp32:" in tile for tile in tiles), "beside the baseline"


def test_a_trace_with_a_gap_is_drawn_with_a_gap(open_page: OpenPage) -> None:
    page = open_page()
    page.locator("#body .open", has_text="openvino int4").first.click()
    section = page.locator("#cell section", has_text="Memory over time")
    assert section.locator(".curve").get_attribute("d").count("M") == 2


def test_a_mark_that_all_lines_share_is_said_once(
    open_page: OpenPage, make_record: Callable[..., Record]
) -> None:
    same = [make_record(precision=p, blocks=8, validity="suspect") for p in ("fp32", "int8")]
    page = open_page(make_rows(same))
    assert page.inner_text("#common").split() == ["All", "ranked", "lines:", "suspect"]
    assert page.locator("#body .mark.suspect").count() == 0


def test_results_of_other_tools_are_marked_and_rank_only_when_asked_for(
    open_page: OpenPage, make_record: Callable[..., Record]
) -> None:
    theirs = make_record(adapter="llama-cpp", precision="q4_0", blocks=8, foreign="llama-bench")
    page = open_page(make_rows([make_record(blocks=8), theirs]))
    assert ranked(page) == ["1"]
    line = page.locator("#body tr.unranked", has_text="q4_0")
    assert line.locator(".reason").inner_text() == "foreign"
    page.check('[data-key="switch foreign"]')
    assert len(ranked(page)) == 2


def test_dates_in_the_future_are_mentioned(
    open_page: OpenPage, make_record: Callable[..., Record]
) -> None:
    page = open_page(make_rows([make_record(blocks=8, created="2999-01-01T00:00:00+00:00")]))
    assert "1 cell from the future" in page.inner_text("#notes")


def test_the_fronts_stand_as_a_table_with_probabilities(open_page: OpenPage) -> None:
    page = open_page()
    page.click("#fronts summary")
    heads = page.locator("#fronts th[scope=col]").all_inner_texts()
    assert heads[:3] == ["configuration", "bits/byte", "TPOT"]
    assert "%" in page.locator("#fronts tbody tr").first.inner_text()


def test_where_nothing_may_rank_there_is_no_front_until_asked_for(
    open_page: OpenPage, make_record: Callable[..., Record]
) -> None:
    rows = make_rows([
        make_record(precision=p, workload=w, fact_changes={"weights_source": "dequantised Q4_1"})
        for p in ("fp32", "int8") for w in (Decode(prompt_tokens=32, new_tokens=64), TEXT)
    ])  # fmt: skip
    page = open_page(rows)
    assert "no front: dequantised" in page.inner_text("#charts")
    page.locator("#charts button").first.click()
    assert "no front" not in page.inner_text("#charts .chart >> nth=0")
    assert page.evaluate("effmark.state.admit") == ["dequantised"]


def test_the_analyses_are_on_the_page_with_their_tables(open_page: OpenPage) -> None:
    page = open_page()
    finding = page.locator(".finding", has_text="Speed-up against the baseline").first
    finding.locator("summary").click()
    assert "times the baseline" in finding.inner_text()
    finding.locator("thead button").first.click()
    first = finding.locator("tbody th").all_inner_texts()
    assert first == sorted(first)


def test_advice_stands_with_its_remedy(open_page: OpenPage) -> None:
    page = open_page()
    page.locator("#body .open", has_text="torch broken").click()
    assert "Remedy: cool the machine" in page.inner_text("#cell")


def test_two_lines_compare_with_ratio_interval_and_verdict(open_page: OpenPage) -> None:
    page = open_page()
    boxes = page.locator("#body .pick input")
    boxes.nth(0).check()
    boxes.nth(8).check()
    line = page.locator("#compare tr", has_text="TPOT").first.inner_text()
    assert "×" in line and "B worse" in line


def test_pareto_points_are_reached_and_read_from_the_keyboard(open_page: OpenPage) -> None:
    page = open_page()
    page.locator("#charts svg .mark-point[tabindex='0']").first.focus()
    page.keyboard.press("ArrowRight")
    label = page.evaluate("document.activeElement.getAttribute('aria-label')")
    assert "TPOT" in label and ("probability" in label or "not ranked" in label)
    assert page.inner_text("#tip") == label
    page.keyboard.press("Enter")
    assert page.is_visible("#cell")


def test_the_roofline_is_there_where_peaks_were_measured(open_page: OpenPage) -> None:
    page = open_page()
    assert "measured here" in page.inner_text("#roofline")
    assert page.locator("#roofs .mark-point").count() > 10


def test_hostile_names_stay_text(open_page: OpenPage, make_record: Callable[..., Record]) -> None:
    rows = make_rows([make_record(HOSTILE, blocks=8), make_record("=cmd|' /C calc'!A0", blocks=8)])
    page = open_page(rows)
    assert any(HOSTILE in name for name in names(page))
    page.locator("#body .open").first.click()
    assert page.locator("img").count() == 0


def test_long_names_do_not_widen_a_phone(
    open_page: OpenPage, make_record: Callable[..., Record]
) -> None:
    rows = make_rows([make_record("m" * 300, blocks=8), make_record("n " * 150, blocks=8)])
    page = open_page(rows, width=390)
    assert page.evaluate("document.documentElement.scrollWidth") == 390


def test_a_phone_sees_the_whole_page_without_scrolling_sideways(open_page: OpenPage) -> None:
    page = open_page(width=390)
    assert page.evaluate("document.documentElement.scrollWidth") == 390
    assert page.is_visible("#body tr .rank")


def test_a_phone_that_is_turned_shows_the_controls(open_page: OpenPage) -> None:
    page = open_page(width=390)
    assert not page.is_visible("#limits")
    page.set_viewport_size({"width": 900, "height": 400})
    page.wait_for_selector("#limits", state="visible")


def test_no_records_is_said_plainly(open_page: OpenPage) -> None:
    page = open_page([])
    assert "There are no records yet" in page.inner_text("#empty")


def test_one_record_makes_a_page(open_page: OpenPage, make_record: Callable[..., Record]) -> None:
    page = open_page(make_rows([make_record(blocks=8)]))
    assert ranked(page) == ["1"]


def test_if_all_is_invalid_nothing_ranks_but_all_is_shown(
    open_page: OpenPage, make_record: Callable[..., Record]
) -> None:
    bad = [make_record(precision=p, blocks=8, validity="invalid") for p in ("fp32", "int8")]
    page = open_page(make_rows(bad))
    assert ranked(page) == [] and len(names(page)) == 2
    assert "Nothing can be ranked" in page.inner_text("#answer")


def test_machines_rank_apart(open_page: OpenPage, make_record: Callable[..., Record]) -> None:
    here = make_record(blocks=8)
    assert here.environment is not None
    there = here.environment.model_copy(update={"cpu": "another CPU"})
    far = make_record(adapter="openvino", environment=there, blocks=8)
    page = open_page(make_rows([here, far]))
    assert ranked(page) == ["1", "1"]
    assert "do not compare" in page.inner_text("#rank-note")


def test_the_page_and_the_library_give_the_same_ranks(
    open_page: OpenPage, demo_rows: list[Row]
) -> None:
    """In the view of cells, where both see the same rows, for every metric that ranks."""
    page = open_page(hash_="#view=cells")
    places = cell_places(demo_rows)
    machines = machines_of(demo_rows)
    for metric in sorted({name for told in places for name in told}):
        found = page.evaluate(
            """(by) => { effmark.update({ by }); const { items, places } = effmark.standings();
            return Object.fromEntries(items.map((i) => [i.id, places.get(i)])); }""",
            metric,
        )
        for row, machine, told in zip(demo_rows, machines, places, strict=True):
            if metric not in told:
                continue
            shown, place = found[row_id(row, machine)], told[metric]
            if isinstance(place, str):
                assert shown["reason"] == place, metric
            else:
                rank, of = place
                assert (shown["low"], shown["high"], shown["of"]) == (rank.low, rank.high, of), (
                    metric
                )


def test_the_page_and_the_library_write_numbers_alike(open_page: OpenPage) -> None:
    page = open_page()
    units = [
        "s",
        "J/call",
        "g/request",
        "USD/token",
        "B",
        "J/token",
        "ratio",
        "token/s",
        "FLOP/token",
        "bit",
        "W",
    ]
    numbers = [
        0,
        1.23456e-7,
        4.56e-5,
        0.00098,
        0.09996,
        0.5,
        1,
        9.997,
        12.34,
        999.7,
        123456.7,
        7.7e9,
    ]
    for unit in units:
        found = page.evaluate(
            "([values, unit]) => values.map((v) => effmark.formatQuantity(v, unit))",
            [numbers, unit],
        )
        assert found == [format_quantity(value, unit) for value in numbers]


_CONTRAST = """() => {
  const canvas = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
  const rgb = (colour) => { canvas.fillStyle = "#000"; canvas.fillStyle = colour;
    canvas.fillRect(0, 0, 1, 1); return [...canvas.getImageData(0, 0, 1, 1).data].slice(0, 3); };
  const light = (c) => { const [r, g, b] = c.map((v) => { v /= 255;
    return v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4; });
    return 0.2126 * r + 0.7152 * g + 0.0722 * b; };
  const behind = (node) => { for (let n = node; n; n = n.parentElement) {
    const c = getComputedStyle(n).backgroundColor;
    if (c !== "rgba(0, 0, 0, 0)" && c !== "transparent") return rgb(c); } return [255, 255, 255]; };
  const bad = [];
  for (const node of document.querySelectorAll("body *")) {
    if (node.ownerSVGElement || !node.offsetParent) continue;
    if (![...node.childNodes].some((c) => c.nodeType === 3 && c.textContent.trim())) continue;
    const [a, b] = [light(rgb(getComputedStyle(node).color)), light(behind(node))];
    const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    if (ratio < 4.5) bad.push([node.className, node.textContent.slice(0, 30), ratio.toFixed(2)]);
  }
  return bad;
}"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_all_text_has_the_contrast_that_wcag_aa_wants(open_page: OpenPage, scheme: str) -> None:
    page = open_page(scheme=scheme)
    assert page.evaluate(_CONTRAST) == []
    page.locator("#body .open").first.click()
    assert page.evaluate(_CONTRAST) == []


def test_axe_finds_nothing(open_page: OpenPage) -> None:
    """The usual checker of accessibility, on the page with all that can be opened open."""
    axe = pytest.importorskip("axe_playwright_python", reason="axe is not installed")
    script = (Path(axe.__file__).parent / "axe.min.js").read_text(encoding="utf-8")
    for width, scheme in ((1400, "light"), (1400, "dark"), (390, "light")):
        page = open_page(width=width, scheme=scheme)
        page.evaluate("document.querySelectorAll('details').forEach((d) => { d.open = true; })")
        page.evaluate(script)
        for opened in (False, True):
            if opened:
                page.keyboard.press("Escape")  # menus
                page.locator("#body .open").first.click()
            found = page.evaluate(
                """async () => (await axe.run(document, { resultTypes: ["violations"] }))
                .violations.map((v) => [v.id, v.help, v.nodes.map((n) => n.html.slice(0, 150))])"""
            )
            assert found == []


def test_the_theme_button_overrides_the_system(open_page: OpenPage) -> None:
    page = open_page()
    page.click("#theme")
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(15, 19, 24)"


def test_every_control_has_a_name(open_page: OpenPage) -> None:
    nameless = open_page().evaluate(
        """() => [...document.querySelectorAll("button, input, select")]
        .filter((n) => !n.textContent.trim() && !n.getAttribute("aria-label")
                       && !n.closest("label")?.textContent.trim())
        .map((n) => n.outerHTML)"""
    )
    assert nameless == []


def test_a_printed_page_has_the_table_and_none_of_the_controls(open_page: OpenPage) -> None:
    page = open_page()
    page.emulate_media(media="print")
    assert page.is_visible("#body tr") and not page.is_visible("#limits")


def test_a_thousand_configurations_draw_and_rank(
    open_page: OpenPage, make_record: Callable[..., Record]
) -> None:
    """Ten thousand would be cut to what fits; the first lines come, the rest on request."""
    (row,) = make_rows([make_record(blocks=8)])
    many = [
        Row(
            row.record.model_copy(
                update={
                    "cell": row.record.cell.model_copy(
                        update={"model": row.record.cell.model.model_copy(
                            update={"name": f"model {i}"})}
                    )
                }
            ),
            row.records,
            row.metrics,
        )
        for i in range(1000)
    ]  # fmt: skip
    page = open_page(many)
    assert len(names(page)) == 100
    page.click("#more button")
    assert len(names(page)) == 200


def test_a_picture_of_the_page_can_be_taken(open_page: OpenPage, tmp_path: Path) -> None:
    page = open_page()
    page.screenshot(path=str(tmp_path / "page.png"), full_page=True)
    assert (tmp_path / "page.png").stat().st_size > 100_000


def test_columns_can_be_chosen(open_page: OpenPage) -> None:
    page = open_page()
    page.click("text=Columns")
    page.check('[data-key="column load_s"]')
    assert page.locator('[data-metric="load_s"]').count() == 1
    assert "load_s" in json.dumps(page.evaluate("effmark.state.columns"))
