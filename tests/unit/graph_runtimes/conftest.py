"""The smallest model of the family, prepared once per test run for the runtimes of graphs."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from effmark.adapter import Generation, LoadRequest
from effmark.cache import locked
from effmark.schema import content_hash
from effmark.spec import ModelRef

CONTEXT_TOKENS, BATCH = 96, 4

# Exactly what happens in production: preparing is a process of its own.
PREPARE = """
import sys
from importlib import import_module
from effmark.adapter import LoadRequest
module, name, request = sys.argv[1:]
getattr(import_module(module), name).prepare(LoadRequest.model_validate_json(request))
"""

# Random models of other families, made and prepared in one process: importing torch costs most.
TINY = """
import sys, json, torch
from importlib import import_module
from pathlib import Path
from transformers import AutoConfig, AutoModelForCausalLM
from effmark.adapter import LoadRequest
from effmark.errors import UnsupportedError

def make(folder, kind, settings):
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_config(AutoConfig.for_model(kind, **settings))
    with torch.no_grad():
        for parameter in model.parameters():
            drawn = torch.randn_like(parameter) * 0.15
            parameter.copy_(drawn if parameter.dim() > 1 else parameter + drawn)
    model.save_pretrained(folder)

jobs, out = json.loads(sys.argv[1]), Path(sys.argv[2])
refusals = {}
for kind, settings, requests in jobs:
    make(LoadRequest.model_validate(requests[0][2]).model.path, kind, settings)
    for module, name, given in requests:
        request = LoadRequest.model_validate(given)
        try:
            getattr(import_module(module), name).prepare(request)
        except UnsupportedError as error:
            refusals.setdefault(request.model.name, []).append(str(error))
out.write_text(json.dumps(refusals))
"""
SMALL = {
    "vocab_size": 200, "hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 2,
    "num_attention_heads": 4, "num_key_value_heads": 2, "max_position_embeddings": 128,
    "bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 0, "tie_word_embeddings": False,
}  # fmt: skip

REFERENCE = """
import sys, json, numpy, torch
from transformers import AutoModelForCausalLM
folder, ids, out = sys.argv[1], json.loads(sys.argv[2]), sys.argv[3]
model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
with torch.inference_mode():
    log_probs = model(torch.tensor([ids])).logits[0].log_softmax(-1).numpy()
    greedy = model.generate(
        torch.tensor([ids[:16]]), max_new_tokens=24, min_new_tokens=24, do_sample=False,
        pad_token_id=0,
    )[0, 16:].tolist()
numpy.savez(out, log_probs=log_probs, greedy=greedy)
"""


def python(script: str, *arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", script, *arguments], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout


@dataclass(frozen=True)
class Prepared:
    """A model and the cache in which its conversions are."""

    model: ModelRef
    cache: Path

    def request(self, precision: str, **changes: Any) -> LoadRequest:
        settings = {"context_tokens": CONTEXT_TOKENS, "batch": BATCH, "cache": self.cache}
        return LoadRequest(model=self.model, precision=precision, **{**settings, **changes})

    def prepare(self, adapter: type[Any], request: LoadRequest) -> str:
        """Prepare in a process of its own; return what it wrote to stdout."""
        return python(PREPARE, adapter.__module__, adapter.__name__, request.model_dump_json())


@dataclass(frozen=True)
class Reference:
    """What torch computes in fp32: log-probabilities after each token, a greedy continuation."""

    ids: list[int]
    log_probs: Any
    greedy: list[int]


@pytest.fixture(scope="session")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cache for all tests of one run, also where several processes share it."""
    folder = tmp_path_factory.getbasetemp()
    return (folder.parent if "PYTEST_XDIST_WORKER" in os.environ else folder) / "graph-runtimes"


@pytest.fixture(scope="session")
def family(root: Path, cache: Path) -> Prepared:
    """The model of a million weights."""
    folder = root / "suites/effmark_suites/family/effmark-1m"
    weights = (folder / "model.safetensors").read_bytes()
    model = ModelRef(
        name="effmark-1m", task="lm", kind="hf", path=folder, sha256=content_hash(weights.hex())
    )
    return Prepared(model, cache)


class TinyModels:
    """Random models of two layers, untied unless told otherwise, and their preparation."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._jobs: list[Any] = []

    def add(
        self, name: str, kind: str, settings: dict[str, Any], *wanted: tuple[type[Any], Any]
    ) -> Prepared:
        """Plan a model, and for which adapters and requests; it is there after `prepare`."""
        from tokenizers import Tokenizer, models

        folder = self._folder / name
        folder.mkdir(parents=True)
        settings = {**SMALL, **settings}
        words = {f"w{i}": i for i in range(settings["vocab_size"])}
        Tokenizer(models.WordLevel(words, unk_token="w0")).save(str(folder / "tokenizer.json"))
        sha256 = content_hash({"kind": kind, "settings": settings})
        model = ModelRef(name=name, task="lm", kind="hf", path=folder, sha256=sha256)
        prepared = Prepared(model, self._folder / "cache")
        requests = [
            (a.__module__, a.__name__, prepared.request(**r).model_dump(mode="json"))
            for a, r in wanted
        ]
        self._jobs.append((kind, settings, requests))
        return prepared

    def prepare(self) -> dict[str, list[str]]:
        """Make the models and prepare all that was asked for; return refusals by model."""
        out = self._folder / "refusals.json"
        python(TINY, json.dumps(self._jobs), str(out))
        return dict(json.loads(out.read_text()))


@pytest.fixture(scope="session")
def tiny_models(tmp_path_factory: pytest.TempPathFactory) -> Callable[[], TinyModels]:
    """What plans tiny models, each time in a folder of its own."""
    return lambda: TinyModels(tmp_path_factory.mktemp("tiny"))


@pytest.fixture(scope="session")
def reference(family: Prepared) -> Reference:
    """Torch's own numbers for the same model, computed in another process."""
    ids = [int(i) for i in np.random.default_rng(0).integers(1, 2048, 64)]
    path = family.cache / "reference.npz"
    with locked(family.cache / "reference.lock"):
        if not path.is_file():
            python(REFERENCE, str(family.model.path), json.dumps(ids), str(path))
    with np.load(path) as found:
        return Reference(ids, found["log_probs"], found["greedy"].tolist())


Continue = Callable[..., list[list[int | None]]]


@pytest.fixture
def continue_with() -> Continue:
    """Generate and return what every step delivered."""

    def run(
        adapter: Any, prompts: Sequence[Sequence[int]], new_tokens: int, **settings: Any
    ) -> Any:
        steps: list[list[int | None]] = []

        def on_step(step: Sequence[int | None]) -> bool:
            steps.append(list(step))
            return False

        generation = Generation(
            prompts=tuple(tuple(p) for p in prompts), new_tokens=new_tokens, **settings
        )
        adapter.generate(generation, on_step)
        return steps

    return run
