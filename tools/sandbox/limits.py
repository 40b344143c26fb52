"""The limits of a sandbox."""

from __future__ import annotations

from dataclasses import dataclass, fields

from ..errors import InputError


@dataclass(frozen=True)
class SandboxLimits:
    """What one sandbox may use.

    Attributes:
        wall_seconds: Wall time of one run; then the interpreter and its process group are killed.
        cpu_seconds: Processor time of one run (whole seconds are enforced, rounded up).
        memory_bytes: Address space of the interpreter.
        processes: How many child processes may be started from Python over the life of the interpreter.
        file_bytes: Size of any one file that it writes.
        output_characters: Cap on the text of one run; head and tail are kept.
        output_bytes: What one run may print in all before it is killed.
    """

    wall_seconds: float = 10.0
    cpu_seconds: float = 10.0
    memory_bytes: int = 1 << 30
    processes: int = 0
    file_bytes: int = 64 << 20
    output_characters: int = 10_000
    output_bytes: int = 16 << 20

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            least = 0 if field.name == "processes" else 1 if isinstance(value, int) else 1e-3
            if value < least:
                raise InputError(f"SandboxLimits.{field.name} is {value}; give at least {least}")
