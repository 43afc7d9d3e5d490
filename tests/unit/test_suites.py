from __future__ import annotations

from pathlib import Path

import pytest

from effmark.errors import SpecError
from effmark.registry import list_suites
from effmark.suites import find_suite, load_suite

GOOD = """\
suite: mine
version: 1
why: a test
models: [default]
cells:
  - {adapter: torch, precision: fp32}
workloads:
  - decode: {prompt_tokens: [8, 16], new_tokens: 4, batch: [1, 2]}
budget: {process_s: 5}
profiles:
  quick:
    budget: {process_s: 1}
"""


@pytest.fixture
def suite(tmp_path: Path) -> Path:
    path = tmp_path / "mine.yaml"
    path.write_text(GOOD)
    return path


def test_lists_are_sweeps(suite: Path) -> None:
    labels = [w.label for w in load_suite(suite).workloads]
    assert labels == ["decode p8 n4 b1", "decode p8 n4 b2", "decode p16 n4 b1", "decode p16 n4 b2"]


def test_a_profile_replaces_whole_keys(suite: Path) -> None:
    assert load_suite(suite).budget.process_s == 5
    assert load_suite(suite, "quick").budget.process_s == 1
    assert load_suite(suite, "quick").sha256 != load_suite(suite).sha256


def test_an_override_is_yaml_at_a_path(suite: Path) -> None:
    loaded = load_suite(suite, overrides=["precision.rel_half_width=0.1", "models=[a, b]"])
    assert loaded.precision.rel_half_width == 0.1
    assert loaded.models == ("a", "b")


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("version: 1", "version: 0", ":2: version: Input should be greater than 0, got 0"),
        ("adapter: torch", "adaptor: torch", ":6: cells.0.adaptor: unknown key 'adaptor'; did you"),
        ("new_tokens: 4", "new_tokens: 0", ":8: workloads.0.new_tokens: Input should be greater"),
        ("new_tokens: 4", "new_tokns: 4", "unknown key 'new_tokns'; did you mean 'new_tokens'?"),
        ("decode:", "decod:", "unknown workload 'decod'; did you mean 'decode'"),
        ("process_s: 5", "process_s: fast", ":9: budget.process_s: Input should be a valid number"),
        ("models: [default]", "models: []", ":4: models:"),
        ("why: a test", "why: [unclosed", "not YAML"),
        ("version: 1", "version: true", ":2: version: true and false are neither numbers nor"),
        ("new_tokens: 4", "new_tokens: [4, yes]", ":8: workloads.0.decode.new_tokens.1: true and"),
        ("suite: mine", "suite: My Suite", ":1: suite: String should match pattern"),
    ],
)  # fmt: skip
def test_an_error_names_file_line_and_remedy(suite: Path, old: str, new: str, message: str) -> None:
    suite.write_text(GOOD.replace(old, new))
    with pytest.raises(SpecError) as caught:
        load_suite(suite)
    assert str(caught.value).startswith(str(suite))
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_an_error_inside_a_profile_names_its_line(suite: Path) -> None:
    suite.write_text(GOOD.replace("{process_s: 1}", "{process_s: -1}"))
    load_suite(suite)
    with pytest.raises(SpecError, match=r"mine.yaml:12: budget.process_s: .* got -1"):
        load_suite(suite, "quick")


def test_an_unknown_profile_names_the_known_ones(suite: Path) -> None:
    with pytest.raises(SpecError, match="no profile 'quik'; did you mean 'quick'"):
        load_suite(suite, "quik")


@pytest.mark.parametrize("text", ["", "[]", "just words", "a: b: c"])
def test_what_is_no_suite_is_refused_in_one_line(tmp_path: Path, text: str) -> None:
    path = tmp_path / "bad.yaml"
    path.write_text(text)
    with pytest.raises(SpecError) as caught:
        load_suite(path)
    assert "\n" not in str(caught.value)


def test_an_unknown_suite_names_the_nearest() -> None:
    with pytest.raises(SpecError, match="no suite named 'llm-int5'; did you mean 'llm-int4'"):
        find_suite("llm-int5")


@pytest.mark.parametrize("name", sorted(list_suites()))
@pytest.mark.parametrize("profile", ["default", "smoke"])
def test_installed_suites_load(name: str, profile: str) -> None:
    loaded = load_suite(find_suite(name), profile)
    assert loaded.suite == name


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("workloads.foo=1", "'foo' is no position in a list of 1"),
        ("cells.9.x=1", "'9' is no position in a list of 1"),
        ("version.deep.x=1", "'version' holds a value, not a mapping"),
    ],
)
def test_an_override_that_leads_nowhere_is_named(suite: Path, override: str, said: str) -> None:
    with pytest.raises(SpecError, match=said):
        load_suite(suite, overrides=[override])


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        (["version=0"], "override 'version=0': version: Input should be greater than 0, got 0"),
        (
            ["version=2", "workloads.0.decode.new_tokens=0", "models=[a]"],
            "override 'workloads.0.decode.new_tokens=0': workloads.0.new_tokens: Input should be",
        ),
        (
            ["budget.proces_s=1"],
            "override 'budget.proces_s=1': budget.proces_s: unknown key 'proces_s'; "
            "did you mean 'process_s'?",
        ),
        (["budget.min_blocks=5000"], "override 'budget.min_blocks=5000': budget"),
        (
            ["cells.0.options={gpu_layers: .inf}"],
            "override 'cells.0.options={gpu_layers: .inf}': cells.0.options.gpu_layers: "
            "Input should be a finite number, text, true or false, got inf",
        ),
    ],
)
def test_an_error_that_an_override_brought_in_names_the_override_and_not_a_line(
    suite: Path, overrides: list[str], said: str
) -> None:
    with pytest.raises(SpecError) as caught:
        load_suite(suite, overrides=overrides)
    assert str(caught.value).startswith(said)


def test_an_error_of_the_file_is_not_blamed_on_an_override(suite: Path) -> None:
    suite.write_text(GOOD.replace("process_s: 5", "min_blocks: 50, max_blocks: 6"))
    for override in ("version=2", "budget.process_s=3"):
        with pytest.raises(SpecError, match=r"mine.yaml:9: budget: .*min_blocks 50 exceeds"):
            load_suite(suite, overrides=[override])


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (GOOD.replace("why: a test", "why: a test\nwhy: again"), "key 'why' stands twice"),
        (GOOD.replace("models: [default]", "models: &a [*a]"), "nested too deeply"),
        (GOOD.split("profiles:")[0] + "profiles: [a]\n", "profiles must be a mapping"),
        (GOOD.replace("batch: [1, 2]", "batch: []"), "batch is an empty list"),
        (
            GOOD.replace("{process_s: 5}", "{min_blocks: 50, max_blocks: 6}"),
            "min_blocks 50 exceeds",
        ),
        (GOOD + "allow: [okk]\n", "allow"),
        (GOOD.replace("batch: [1, 2]", "batch: [1, 1]"), "stands twice"),
    ],
)
def test_odd_yaml_is_an_error_in_one_line(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "odd.yaml"
    path.write_text(text)
    with pytest.raises(SpecError, match=said):
        load_suite(path)


def test_a_key_without_end_is_named_in_short(tmp_path: Path) -> None:
    suite = tmp_path / "long.yaml"
    key = "k" * 900
    suite.write_text(f"suite: mine\nversion: 1\nwhy: a test\n{key}: 1\n")
    with pytest.raises(SpecError) as caught:
        load_suite(suite)
    assert "unknown key 'kkk" in str(caught.value)
    assert "k" * 101 not in str(caught.value)


def test_names_that_a_terminal_cannot_show_are_escaped_and_endless_ones_cut(suite: Path) -> None:
    text = suite.read_text()
    suite.write_text(f"\u202e{text}")
    with pytest.raises(SpecError, match=r"\\u202esuite") as caught:
        load_suite(suite)
    assert str(caught.value).isprintable()
    baseline = f"baseline: {{adapter: torch, precision: {'9' * 4000}fp32}}\n"
    suite.write_text(text + baseline)
    with pytest.raises(SpecError, match="is none of") as caught:
        load_suite(suite)
    assert len(str(caught.value)) < 800
