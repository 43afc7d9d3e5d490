"""One renderer for all runtimes, and it gives what transformers gives."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from effmark.adapter import LoadRequest
from effmark.errors import UnsupportedError
from effmark.models import resolve_model
from effmark.registry import adapter_class
from effmark_adapters.artefacts.tokenizer import ReadsText, TextTokenizer

transformers = pytest.importorskip("transformers")
tokenizers = pytest.importorskip("tokenizers")

SPECIAL = {"bos_token": "<s>", "eos_token": "</s>", "pad_token": "<pad>"}
TALK = [
    {"role": "system", "content": 'Be <brief> & kind; say "é".'},
    {"role": "user", "content": "Grüße: 1 < 2?  "},
    {"role": "assistant", "content": " Yes.\n"},
    {"role": "user", "content": "Why?"},
]
TEMPLATES = {
    "chatml": "{% for m in messages %}{{ '<|im_start|>' + m.role + '\n' + m.content + '<|im_end|>\n"
    "' }}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}",
    "generation": "{%- for m in messages %}\n  {%- if m.role == 'assistant' %}\n"
    "    {% generation %}\n    {{- m.content + eos_token }}\n    {% endgeneration %}\n"
    "  {% else %}\n[{{ m.role }}] {{ m.content }}\n  {% endif %}\n{% endfor %}",
    "a generation block is a scope": "{% set ns = namespace(n=0) %}{% for m in messages %}"
    "{% generation %}{% set ns.n = ns.n + 1 %}{{ m.role }}{% endgeneration %}{% endfor %}"
    "{{ ns.n }}",
    "json": "{{ messages | tojson }}",
    "json with arguments": "{{ messages[0] | tojson(ensure_ascii=True, indent=2, sort_keys=True) }}"
    "{{ messages[1] | tojson(separators=(',', ':')) }}",
    "break and continue": "{% for m in messages %}{% if m.role == 'system' %}{% continue %}"
    "{% endif %}{% if loop.index > 2 %}{% break %}{% endif %}{{ m.content }}{% endfor %}",
    "date": "{{ strftime_now('%Y') }} {{ messages[1]['content'] }}",
    "blocks are trimmed": "  {% if true %}\n\n  a\n  {% endif %}\n\tb\n{# note #}\n  c\n",
    "special tokens": "{{ bos_token }}{{ eos_token }}{{ pad_token }}|{{ unk_token }}|"
    "{{ unk_token is defined }}{{ cls_token is not none }}",
    "tools and documents": "{{ tools is none }}{{ documents is none }}{{ tools is defined }}"
    "{% if tools %}tools{% endif %}{{ add_generation_prompt }}{{ date_string is defined }}",
    "llama 2": "{% if messages[0]['role'] == 'system' %}{% set rest = messages[1:] %}"
    "{% set system = '<<SYS>>\n' + messages[0]['content'] + '\n<</SYS>>\n\n' %}{% endif %}"
    "{% for m in rest %}{% if m['role'] == 'user' %}{{ bos_token + '[INST] ' + (system if "
    "loop.first else '') + m['content'].strip() + ' [/INST]' }}{% else %}"
    "{{ ' ' + m['content'].strip() + ' ' + eos_token }}{% endif %}{% endfor %}",
    "macros": "{% macro turn(m) %}<{{ m.role }}>{{ m.content | trim }}</{{ m.role }}>{% endmacro %}"
    "{%- for m in messages -%}{{ turn(m) }}{%- endfor -%}",
    "tables": "{% set d = dict(a=1) %}{{ d.a }}{{ dict.fromkeys(['x'], 2).x }}"
    "{% for key, value in messages[0].items() %}{{ key }}={{ value | length }};{% endfor %}",
    "escapes nothing": "{{ '<b>' }}{{ messages[0].content }}",
}


def folder_of(path: Path, template: Any, **settings: Any) -> Path:
    """Return a folder with a tokenizer of a few words and a chat template in its settings."""
    words = {"<s>": 0, "</s>": 1, "<pad>": 2, "a": 3}
    core = tokenizers.Tokenizer(tokenizers.models.WordLevel(words, unk_token="a"))
    transformers.PreTrainedTokenizerFast(tokenizer_object=core, **SPECIAL).save_pretrained(path)
    config = json.loads((path / "tokenizer_config.json").read_text())
    config |= {"chat_template": template, **settings}
    (path / "tokenizer_config.json").write_text(json.dumps(config))
    return path


def begin_with(folder: Path, token: str) -> None:
    """Make the tokenizer of a folder put a token before every text."""
    core = tokenizers.Tokenizer.from_file(str(folder / "tokenizer.json"))
    core.post_processor = tokenizers.processors.TemplateProcessing(
        single=f"{token} $A", special_tokens=[(token, core.token_to_id(token))]
    )
    core.save(str(folder / "tokenizer.json"))


def theirs(folder: Path, talk: list[dict[str, Any]], **how: Any) -> str:
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    how = how or {"add_generation_prompt": True}
    return str(tokenizer.apply_chat_template(talk, tokenize=False, **how))


@pytest.mark.parametrize("template", TEMPLATES.values(), ids=TEMPLATES)
def test_a_template_renders_as_in_transformers(template: str, tmp_path: Path) -> None:
    folder = folder_of(tmp_path, template)
    assert TextTokenizer(folder).chat(TALK) == theirs(folder, TALK)


def test_an_open_answer_is_continued_as_in_transformers(tmp_path: Path) -> None:
    for number, words in enumerate((" Let me see: ", "The answer is")):
        for name in ("chatml", "generation", "macros"):
            folder = folder_of(tmp_path / f"{name}{number}", TEMPLATES[name])
            talk = [*TALK, {"role": "assistant", "content": words}]
            expected = theirs(folder, talk, continue_final_message=True)
            assert TextTokenizer(folder).chat(talk) == expected


def test_the_default_one_of_several_templates_is_taken(tmp_path: Path) -> None:
    named = [{"name": "rag", "template": "R"}, {"name": "default", "template": "D{{ bos_token }}"}]
    folder = folder_of(tmp_path, named)
    assert TextTokenizer(folder).chat(TALK) == theirs(folder, TALK) == "D<s>"
    (folder / "chat_template.jinja").write_text("F{{ eos_token }}\n")
    assert TextTokenizer(folder).chat(TALK) == theirs(folder, TALK)


def test_several_templates_without_a_default_are_refused_by_name(tmp_path: Path) -> None:
    folder = folder_of(tmp_path, [{"name": "rag", "template": "R"}])
    with pytest.raises(UnsupportedError, match="chat templates rag, none of them default"):
        TextTokenizer(folder).chat(TALK)


@pytest.mark.parametrize(
    ("template", "reason"),
    [
        ("{{ raise_exception('System role not supported') }}", "System role not supported"),
        ("{% for m in messages %}", "Unexpected end of template"),
        ("{{ messages[0].content + 1 }}", "can only concatenate"),
        ("{% set ns = namespace(a=1) %}{% set ns._b = 2 %}", "holds no '_b'"),
        ("{{ messages.append(1) }}", "safe"),
    ],
)
def test_a_template_that_refuses_is_a_sentence(template: str, reason: str, tmp_path: Path) -> None:
    folder = folder_of(tmp_path, template)
    with pytest.raises(UnsupportedError, match=f"cannot render these messages: .*{reason}"):
        TextTokenizer(folder).chat(TALK)


def test_special_tokens_are_those_of_transformers(tmp_path: Path) -> None:
    folder = folder_of(tmp_path, "")
    (folder / "config.json").write_text('{"eos_token_id": [1, 3]}')
    (folder / "generation_config.json").write_text('{"eos_token_id": 2}')
    found, tokenizer = (
        TextTokenizer(folder).special_tokens(),
        transformers.AutoTokenizer.from_pretrained(folder),
    )
    assert found.ids == dict(
        zip(tokenizer.all_special_tokens, tokenizer.all_special_ids, strict=True)
    )
    assert (found.bos, found.eos) == (tokenizer.bos_token_id, tokenizer.eos_token_id)
    assert found.ends == (1, 2, 3)
    assert found.start == ()


def test_what_a_tokenizer_puts_before_a_text_is_known(tmp_path: Path) -> None:
    folder = folder_of(tmp_path, "")
    begin_with(folder, "<s>")
    assert TextTokenizer(folder).special_tokens().start == (0,)
    assert transformers.AutoTokenizer.from_pretrained(folder).encode("a") == [0, 3]


@pytest.mark.parametrize("adapter", ["torch", "llama-cpp", "onnxruntime", "openvino"])
def test_every_adapter_renders_with_it(adapter: str, tmp_path: Path) -> None:
    kind: Any = adapter_class(adapter)
    folder = tmp_path / "model"
    shutil.copytree(str(resolve_model("effmark-1m", tmp_path).path), folder)
    config = json.loads((folder / "tokenizer_config.json").read_text())
    template = TEMPLATES["generation"] + TEMPLATES["json"]
    config["chat_template"] = [{"name": "default", "template": template}]
    (folder / "tokenizer_config.json").write_text(json.dumps(config))
    begin_with(folder, "<|endoftext|>")
    expected = theirs(folder, TALK)
    if issubclass(kind, ReadsText):  # it has no other way; a graph is not needed to see that
        assert kind.chat is ReadsText.chat
        assert TextTokenizer(folder).chat(TALK) == expected
        return
    request = LoadRequest(
        model=resolve_model(str(folder), tmp_path), precision="f16", cache=tmp_path / "cache"
    )
    kind.prepare(request)
    loaded = kind()
    loaded.load(request)
    assert loaded.chat(TALK) == expected
    special = loaded.special_tokens()
    assert special == TextTokenizer(folder).special_tokens()
    assert len(special.start) == 1
    loaded.close()
