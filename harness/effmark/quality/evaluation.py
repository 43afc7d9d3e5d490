"""lm-eval tasks on an adapter: found, run, and turned into one answer per item."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from effmark.adapter import Adapter
from effmark.errors import SpecError
from effmark.quality.loading import loaded_tasks
from effmark.quality.sent import Sent, watch
from effmark.record import ModelFacts
from effmark.spec import Tasks

__all__ = ["Evaluation", "evaluate_tasks", "fetch_task"]

_ITEM_METRICS = ("acc", "exact_match", "acc_norm")
"""What counts as an item being right, the first that a task has."""


@dataclass(frozen=True)
class Evaluation:
    """What lm-eval found."""

    right: tuple[float, ...]
    """1 or 0 per item, all tasks in order; a share where the task gives one."""
    task_of_item: tuple[str, ...]
    results: dict[str, dict[str, Any]]
    """lm-eval's own aggregates by task."""
    versions: dict[str, str]
    sent: dict[str, dict[str, Any]]
    """What the adapter was really asked, by task."""


def evaluate_tasks(
    adapter: Adapter,
    facts: ModelFacts,
    task: Tasks,
    cache: Path,
    sequences: int = 1,
) -> Evaluation:
    """Return the evaluation of a task or group on a loaded adapter.

    Args:
        adapter: Must score or generate, as the task asks.
        facts: The facts of its model.
        task: What to run and how.
        cache: Root under which lm-eval's data sets keep their files.
        sequences: Most prompts that the adapter continues together.

    Raises:
        PrerequisiteError: lm-eval is not installed.
        SpecError: no such task, not what can be asked of it, or an item that cannot be asked.
    """
    with loaded_tasks(task, cache) as loaded:
        from lm_eval.evaluator import evaluate

        from effmark.quality.bridge import AdapterLM

        sent = {one.config.task: Sent() for one in loaded["tasks"].values()}
        for one in loaded["tasks"].values():
            _set_up(one, task)
            watch(one, sent[one.config.task])
        model = AdapterLM(
            adapter, facts, sequences=sequences, context_tokens=task.context_tokens, sent=sent
        )
        found = evaluate(
            model,
            loaded,
            limit=task.limit,
            bootstrap_iters=0,
            log_samples=True,
            apply_chat_template=task.chat,
        )
    return _evaluation(found, {name: one.facts() for name, one in sent.items()})


def fetch_task(task: Tasks, cache: Path) -> None:
    """Bring the data of a task into the cache; needs the network where it is not there yet.

    Raises:
        PrerequisiteError: lm-eval is not installed, or the data cannot be reached.
        SpecError: no such task.
    """
    with loaded_tasks(task, cache):
        pass  # loading a task loads its data


def _set_up(one: Any, asked: Tasks) -> None:
    """Give a task the shots that were asked for, drawn as lm-eval's command draws them.

    Raises:
        SpecError: the task takes no shots or no template, or has too few examples.
    """
    from lm_eval.defaults import DEFAULT_OTHER_SEED

    name = one.config.task
    if asked.fewshot is not None:
        one.set_config(key="num_fewshot", value=asked.fewshot)
    shots = one.config.num_fewshot or 0
    if one.OUTPUT_TYPE == "loglikelihood_rolling" and (shots or asked.chat):
        what = f"{shots} shots" if shots else "chat template"
        raise SpecError(f"task {name!r} scores whole texts as they are; it takes no {what}")
    one.set_fewshot_seed(seed=DEFAULT_OTHER_SEED)
    pool = getattr(getattr(one, "sampler", None), "df", None)
    if shots and pool is not None:
        same = one.fewshot_cfg.split == one.config.test_split  # an item is no example of itself
        most = max(0, len(pool) - same)
        if shots > most:
            raise SpecError(f"task {name!r}: {shots} shots, but it has {most} examples for an item")


def _evaluation(found: dict[str, Any], sent: dict[str, dict[str, Any]]) -> Evaluation:
    right: list[float] = []
    names: list[str] = []
    for task, items in found["samples"].items():
        # one filter per task: an item that is looked at in two ways is still one item
        one = [item for item in items if item.get("filter") == items[0].get("filter")]
        for item in sorted(one, key=lambda item: int(item["doc_id"])):
            for key in _ITEM_METRICS:
                if key in item:
                    right.append(float(item[key]))
                    names.append(task)
                    break
    results = {
        task: {key: value for key, value in table.items() if _is_plain(value)}
        for task, table in found["results"].items()
    }
    versions = {task: str(version) for task, version in found.get("versions", {}).items()}
    plain = json.loads(json.dumps(results, default=float))
    return Evaluation(tuple(right), tuple(names), plain, versions, sent)


def _is_plain(value: Any) -> bool:
    """Return whether a value of lm-eval's table is a number or a text."""
    return isinstance(value, str | int) or hasattr(value, "__float__")
