from __future__ import annotations

from effmark.report.names import formula_free, markdown_text, plain


def test_terminal_codes_and_direction_marks_lose_their_power() -> None:
    assert plain("a\x1b[31mred\u202eb\nc") == "a�[31mred�b c"


def test_a_very_long_name_is_cut_with_a_mark() -> None:
    assert plain("x" * 300) == "x" * 199 + "…"


def test_markdown_and_html_in_a_name_are_only_text() -> None:
    assert markdown_text("[a](b)|`c`<i>") == r"\[a\](b)\|\`c\`&lt;i&gt;"


def test_a_formula_in_a_name_is_quoted() -> None:
    assert formula_free("=HYPERLINK(1)") == "'=HYPERLINK(1)"
    assert formula_free("llama") == "llama"


def test_markdown_links_nothing_and_calls_nobody_by_itself() -> None:
    shown = markdown_text("@someone https://evil.example WWW.evil.example a@b.example")
    assert shown == ("@\u2060someone https\\://evil.example WWW\\.evil.example a@\u2060b.example")
