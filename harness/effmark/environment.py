"""What machine and software a record comes from, read without any framework."""

from __future__ import annotations

import os
import platform
import re
import shutil
import socket
import subprocess
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import psutil

from effmark.cgroups import group_folders, quota_cores
from effmark.record import Environment

__all__ = ["WORKER_VARIABLES", "capture_environment", "cpu_name", "default_threads"]

WORKER_VARIABLES = {
    # no telemetry and no network from inside a measurement
    "ORT_DISABLE_TELEMETRY": "1",
    "NNCF_CI": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "HF_HUB_OFFLINE": "1",
    "HF_DATASETS_OFFLINE": "1",
    "HF_EVALUATE_OFFLINE": "1",
    "TRANSFORMERS_OFFLINE": "1",
    "DO_NOT_TRACK": "1",
    "VLLM_NO_USAGE_STATS": "1",
    "RAY_USAGE_STATS_ENABLED": "0",
    # spinning barriers collapse where cores are shared
    "OMP_WAIT_POLICY": "PASSIVE",
    "TOKENIZERS_PARALLELISM": "false",
    "PYTHONHASHSEED": "0",
    "HF_HUB_DISABLE_PROGRESS_BARS": "1",
    "TRANSFORMERS_VERBOSITY": "error",
}
"""Set by every worker before its first import; part of every record."""

_PACKAGES = (
    "accelerate", "codecarbon", "datasets", "effmark", "gguf", "llama-cpp-python", "lm-eval",
    "nncf", "numpy", "nvidia-ml-py", "onnx", "onnxruntime", "onnxruntime-gpu", "openvino",
    "scikit-learn", "tokenizers", "torch", "torchao", "transformers", "xllamacpp",
)  # fmt: skip
"""Distributions whose version can change a number."""


def default_threads() -> int:
    """Return the number of physical cores that this process may use all the time.

    Those are the cores of its affinity, and whole ones of the CPU time that its control groups
    allow: a thread more is stopped in the middle of a step.
    """
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    physical = psutil.cpu_count(logical=False) or usable or 1
    quota = quota_cores(group_folders("cpu"))
    return max(1, min(usable or 1, physical, physical if quota is None else int(quota)))


def capture_environment(variables: dict[str, str], root: Path | None = None) -> Environment:
    """Return the facts of this machine and this interpreter's packages.

    Args:
        variables: environment variables that the caller has set for itself.
        root: the checkout whose revision is measured; None for that of effmark.
    """
    revision, dirty = _git() if root is None else _revision_of(root)
    return Environment(
        host=socket.gethostname(),
        system=f"{platform.system()} {platform.release()}",
        cpu=cpu_name(),
        cores_count=default_threads(),
        memory_b=psutil.virtual_memory().total,
        accelerators=_accelerators(),
        python=f"{platform.python_implementation()} {platform.python_version()}",
        packages=_packages(),
        git_revision=revision,
        git_dirty=dirty,
        variables=variables,
    )


def cpu_name() -> str:
    """Return the name of the processor."""
    info = Path("/proc/cpuinfo")
    if info.is_file():
        match = re.search(r"^model name\s*:\s*(.+)$", info.read_text(), re.MULTILINE)
        if match:
            return match[1].strip()
    return platform.processor() or platform.machine()


def _accelerators() -> tuple[str, ...]:
    """Return the NVIDIA devices that the kernel driver lists, without loading a framework."""
    names = []
    for info in sorted(Path("/proc/driver/nvidia/gpus").glob("*/information")):
        match = re.search(r"^Model:\s*(.+)$", info.read_text(), re.MULTILINE)
        names.append(match[1].strip() if match else "NVIDIA GPU")
    return tuple(names)


def _packages() -> dict[str, str]:
    found = {}
    for name in _PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def _git() -> tuple[str | None, bool | None]:
    """Return revision and dirtiness of the checkout that effmark runs from, if it is one."""
    root = Path(__file__).resolve().parents[2]
    return _revision_of(root) if (root / ".git").exists() else (None, None)


def _revision_of(root: Path) -> tuple[str | None, bool | None]:
    """Return revision and dirtiness of the checkout that a folder belongs to, None for none."""
    if shutil.which("git") is None:
        return None, None
    revision = _run_git(root, "rev-parse", "HEAD")
    status = _run_git(root, "status", "--porcelain", "--untracked-files=no")
    return (revision or None), (bool(status) if status is not None else None)


def _run_git(root: Path, *arguments: str) -> str | None:
    done = subprocess.run(
        ["git", "-C", str(root), *arguments], capture_output=True, text=True, check=False
    )
    return done.stdout.strip() if done.returncode == 0 else None
