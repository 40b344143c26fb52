"""Checks that an environment is sound: named checks, and canaries that must not win."""

from __future__ import annotations

from .canaries import CANARIES
from .catalogue import CHECKS
from .report import CheckReport, CheckResult, ChecksFailed
from .run import check_env
from .trials import Trial

__all__ = ["CANARIES", "CHECKS", "CheckReport", "CheckResult", "ChecksFailed", "Trial", "check_env"]
