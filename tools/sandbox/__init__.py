"""The sandbox: model-written Python in an interpreter of its own, with limits."""

from __future__ import annotations

from .limits import SandboxLimits
from .report import ISOLATIONS, Isolation, Layer, check_isolation, isolation_report
from .sandbox import Execution, Outcome, Sandbox

__all__ = [
    "ISOLATIONS",
    "Execution",
    "Isolation",
    "Layer",
    "Outcome",
    "Sandbox",
    "SandboxLimits",
    "check_isolation",
    "isolation_report",
]
