"""`effmark eval` through the command: names, shots, stops, and what the record keeps of them."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from effmark.record import Record
from effmark.store import read_records

Command = Callable[..., "subprocess.CompletedProcess[str]"]

pytest.importorskip("lm_eval")

WORDS = ("a", "b", "c", "<|im_end|>", "d", "<s>", "</s>", "e")
"""The counting model says them in this order, whatever comes before."""
CHOICES = {
    "dataset_path": "json",
    "dataset_kwargs": {"data_files": {"test": "items.jsonl"}},
    "test_split": "test",
    "fewshot_split": "test",
    "num_fewshot": 2,
    "output_type": "multiple_choice",
    "doc_to_text": "{{q}}",
    "doc_to_choice": "{{choices}}",
    "doc_to_target": "{{gold}}",
    "metric_list": [{"metric": "acc", "aggregation": "mean", "higher_is_better": True}],
}
SAYING = {
    **CHOICES,
    "output_type": "generate_until",
    "num_fewshot": 0,
    "doc_to_choice": None,
    "doc_to_target": "{{answer}}",
    "metric_list": [{"metric": "exact_match", "aggregation": "mean", "higher_is_better": True}],
    "generation_kwargs": {"until": ["<|im_end|>"], "max_gen_toks": 6, "do_sample": False},
}


def write(folder: Path, name: str, table: dict[str, Any]) -> str:
    """Write a task file and its items; return its path."""
    rest = {"choices": ["b", "c d"], "gold": 0, "answer": "b c"}
    items = [json.dumps({"q": " ".join("a" * (n + 1)), **rest}) for n in range(4)]
    (folder / "items.jsonl").write_text("".join(f"{item}\n" for item in items))
    (folder / f"{name}.yaml").write_text(json.dumps({**table, "task": name}))
    return str(folder / f"{name}.yaml")


def records(folder: Path) -> list[Record]:
    return list(read_records(folder / "results"))


@pytest.fixture
def counting(tmp_path: Path) -> Path:
    """A Llama of one layer that says `WORDS` in order, whose only end token is `</s>`."""
    torch = pytest.importorskip("torch")
    transformers = pytest.importorskip("transformers")
    import tokenizers

    size = len(WORDS)
    config = transformers.LlamaConfig(
        vocab_size=size, hidden_size=size, intermediate_size=size, num_hidden_layers=1,
        num_attention_heads=1, max_position_embeddings=64, tie_word_embeddings=False,
        bos_token_id=5, eos_token_id=[6, 5],
    )  # fmt: skip
    net = transformers.LlamaForCausalLM(config)
    with torch.no_grad():
        for parameter in (net.model.layers[0].self_attn.o_proj, net.model.layers[0].mlp.down_proj):
            parameter.weight.zero_()
        net.model.embed_tokens.weight.copy_(torch.eye(size))
        net.lm_head.weight.copy_(torch.eye(size).roll(1, 0))
    net.save_pretrained(tmp_path / "counting")
    model = tokenizers.models.WordLevel({w: i for i, w in enumerate(WORDS)}, unk_token="e")
    core = tokenizers.Tokenizer(model)
    core.pre_tokenizer = tokenizers.pre_tokenizers.WhitespaceSplit()
    transformers.PreTrainedTokenizerFast(
        tokenizer_object=core, bos_token="<s>", eos_token="</s>",
        extra_special_tokens=["<|im_end|>"],
    ).save_pretrained(tmp_path / "counting")  # fmt: skip
    return tmp_path / "counting"


def test_every_name_that_lm_eval_takes_is_a_name_here(effmark: Command, tmp_path: Path) -> None:
    names = [write(tmp_path, name, CHOICES) for name in ("my_Task.v1", "C4")]
    asked = ",".join([*names, "effmark_mini", "effmark_mini_facts"])
    done = effmark("eval", "--adapter", "llama-cpp", "--precision", "f16", "--model", "effmark-1m",
                   "--tasks", asked, "--limit", "1", "--json")  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert {"my_Task.v1", "C4", "effmark_mini", "effmark_mini_facts"} <= set(
        json.loads(done.stdout)
    )
    assert {record.cell.workload.label for record in records(tmp_path)} == {
        "tasks my_Task.v1 l1", "tasks C4 l1", "tasks effmark_mini l1", "tasks effmark_mini_facts l1"
    }  # fmt: skip


def test_an_unknown_name_and_an_empty_one_are_one_line(effmark: Command) -> None:
    model = ("--adapter", "synthetic_lm", "--model", "synthetic")
    done = effmark("eval", *model, "--tasks", "No_Such.Task")
    assert "no lm-eval task 'No_Such.Task'" in done.stdout
    assert "Traceback" not in done.stderr
    done = effmark("eval", *model, "--tasks", "a,,b")
    assert (done.returncode, len(done.stderr.splitlines())) == (2, 1)


def test_shots_and_stops_are_what_was_asked_and_are_recorded(
    effmark: Command, counting: Path, tmp_path: Path
) -> None:
    names = [write(tmp_path, "choose", CHOICES), write(tmp_path, "say", SAYING)]
    done = effmark("eval", "--adapter", "torch", "--model", str(counting), "--fewshot", "0",
                   "--tasks", ",".join(names))  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "choose: 4 items, 0 shots, no chat template" in done.stdout
    by_task = {
        task: (json.loads(record.notes["lm_eval"])[task], facts)
        for record in records(tmp_path)
        for task, facts in json.loads(record.notes["task_sent"]).items()
    }
    assert by_task["choose"][1]["shots"] == 0
    said, sent = by_task["say"]
    assert said["exact_match,none"] == 1.0
    (way,) = sent["generation"]
    assert way["stops"][0] == "<|im_end|>"
    assert way["stop_ids"] == [5, 6]
    assert way["new_tokens"] == 6


def test_an_item_that_cannot_be_read_is_one_line(effmark: Command, tmp_path: Path) -> None:
    name = write(tmp_path, "torn", CHOICES)
    with (tmp_path / "items.jsonl").open("a") as file:
        file.write('{"q": "a", "cho')
    done = effmark("eval", "--adapter", "synthetic_lm", "--model", "synthetic", "--tasks", name)
    assert done.returncode == 4
    assert "items.jsonl':5: not JSON" in done.stdout
    assert "Traceback" not in done.stdout + done.stderr
