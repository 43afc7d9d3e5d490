"""Telemetry of runtimes, switched off before they are imported."""

from __future__ import annotations

import os
import sys

__all__ = ["without_telemetry"]


def without_telemetry() -> None:
    """Keep runtimes silent: to be called before any of them is imported.

    OpenVINO and NNCF bring a stub for machines without the telemetry package; ONNX Runtime reads
    a variable when it is imported.
    """
    sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
