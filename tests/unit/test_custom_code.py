"""Folders with code of their own, and folders quantised by others: refused by name, never run."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from effmark.adapter import LoadRequest
from effmark.errors import UnsupportedError
from effmark.models import resolve_model
from effmark.plan import make_plan
from effmark.spec import Suite
from effmark.suites import data_file
from effmark_adapters.artefacts.hf_folder import hf_folder

pytest.importorskip("torch")
pytest.importorskip("transformers")

CODE = """
open({mark!r}, "w").close()
from transformers import LlamaConfig, LlamaForCausalLM
class MineConfig(LlamaConfig):
    model_type = "mine"
class MineForCausalLM(LlamaForCausalLM):
    config_class = MineConfig
"""
AUTO_MAP = {
    "AutoConfig": "modeling_mine.MineConfig",
    "AutoModelForCausalLM": "modeling_mine.MineForCausalLM",
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = tmp_path / "model"
    shutil.copytree(data_file("family", "effmark-1m"), path)
    return path


def change(folder: Path, name: str = "config.json", **values: Any) -> None:
    config = json.loads((folder / name).read_text())
    (folder / name).write_text(json.dumps({**config, **values}))


@pytest.fixture
def mine(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A model of a type that only its own code knows; importing that code leaves a mark."""
    monkeypatch.setattr(
        "transformers.dynamic_module_utils.HF_MODULES_CACHE", str(folder.parent / "modules")
    )
    monkeypatch.setattr(sys, "path", [*sys.path])
    (folder / "modeling_mine.py").write_text(CODE.format(mark=str(folder / "ran")))
    change(folder, model_type="mine", architectures=["MineForCausalLM"], auto_map=AUTO_MAP)
    yield folder
    for name in [n for n in sys.modules if n.startswith("transformers_modules")]:
        del sys.modules[name]


def request(folder: Path, *, trust: bool, precision: str = "fp32") -> LoadRequest:
    cache = folder.parent / "cache"
    model = resolve_model(str(folder), cache, trust_remote_code=trust)
    return LoadRequest(
        model=model, precision=precision, device="cpu", threads=1, cache=cache,
        context_tokens=32, batch=1,
    )  # fmt: skip


def first_logits(request: LoadRequest) -> Any:
    from effmark_adapters.torch import TorchAdapter

    TorchAdapter.prepare(request)
    adapter = TorchAdapter()
    adapter.load(request)
    try:
        return adapter.log_probs([((1, 2, 3), (4, 5))])[0]
    finally:
        adapter.close()


@pytest.mark.parametrize("precision", ["fp32", "int8"])
def test_code_of_a_folder_runs_only_where_it_is_trusted(mine: Path, precision: str) -> None:
    import numpy as np

    said = r"of type 'mine' needs Python code.*\(auto_map names 'MineForCausalLM'\).*--trust-remote"
    with pytest.raises(UnsupportedError, match=said):
        first_logits(request(mine, trust=False, precision=precision))
    assert not (mine / "ran").exists()
    own = shutil.copytree(data_file("family", "effmark-1m"), mine.parent / "own")
    wanted = first_logits(request(own, trust=True, precision=precision))
    assert np.array_equal(first_logits(request(mine, trust=True, precision=precision)), wanted)
    assert (mine / "ran").exists()


def test_code_under_a_known_type_is_another_model_unless_its_class_is_the_known_one(
    mine: Path,
) -> None:
    from effmark_adapters.artefacts.hf_model import check_folder

    change(mine, model_type="llama")
    with pytest.raises(UnsupportedError, match="'llama' needs Python code of its own folder"):
        check_folder(mine)
    known = {"AutoModelForCausalLM": "modeling_mine.LLaMAForCausalLM"}
    change(mine, auto_map=known, architectures=["LlamaForCausalLM"])
    assert check_folder(mine).model_type == "llama"
    assert not (mine / "ran").exists()


def test_a_tokenizer_with_code_of_its_own_needs_trust(folder: Path) -> None:
    change(folder, "tokenizer_config.json", auto_map={"AutoTokenizer": ["mine.Slow", None]})
    trusted, plain = (request(folder, trust=t) for t in (True, False))
    assert hf_folder(trusted.model, trusted.cache) == folder
    with pytest.raises(
        UnsupportedError, match=r"tokenizer with Python code.*tokenizer_config.json"
    ):
        hf_folder(plain.model, plain.cache)


def plan(folder: Path, adapter: str, precision: str, *, trust: bool = False) -> Any:
    suite = Suite.model_validate(
        {
            "suite": "mine", "version": 1, "why": "to see", "models": [str(folder)],
            "cells": [{"adapter": adapter, "precision": precision}],
            "workloads": [{"prefill": {"prompt_tokens": 4}}],
        }
    )  # fmt: skip
    return make_plan(suite, folder.parent / "cache", trust_remote_code=trust).processes[0]


@pytest.mark.parametrize(
    ("settings", "method"),
    [
        ({"quant_method": "gptq", "bits": 4}, "gptq"),
        ({"quant_method": "awq", "bits": 4}, "awq"),
        ({"load_in_4bit": True}, "bitsandbytes"),
        ({"quant_method": "compressed-tensors"}, "compressed-tensors"),
    ],
)
@pytest.mark.parametrize(("adapter", "precision"), [("torch", "bf16"), ("llama-cpp", "f16")])
def test_a_plan_says_that_quantised_weights_cannot_be_read(
    folder: Path, settings: dict[str, Any], method: str, adapter: str, precision: str
) -> None:
    change(folder, quantization_config=settings)
    process = plan(folder, adapter, precision)
    assert process.outcome == "unsupported"
    assert (
        f"quantised by {method}, which {adapter} does not read; give the folder of the model "
        in (process.problem)
    )


@pytest.mark.parametrize("adapter", ["torch", "onnxruntime", "openvino"])
def test_what_an_adapter_reads_itself_is_no_problem(folder: Path, adapter: str) -> None:
    change(folder, quantization_config={"quant_method": "mxfp4"})
    assert plan(folder, adapter, "fp32").problem == ""
    assert plan(folder, "llama-cpp", "f16").problem != ""


def test_trust_is_part_of_a_cell_only_where_there_is_code(mine: Path) -> None:
    trusted, plain = (plan(mine, "torch", "bf16", trust=t).cells[0] for t in (True, False))
    assert trusted.model.trust_remote_code
    assert trusted.key != plain.key
    assert '"trust_remote_code":true' in trusted.model_dump_json()
    ours = plan(shutil.copytree(data_file("family", "effmark-1m"), mine.parent / "own"), "torch",
                "bf16", trust=True).cells[0]  # fmt: skip
    assert not {"trust_remote_code", "quantised", "path"} & set(ours.model.identity)
