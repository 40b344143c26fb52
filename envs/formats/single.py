"""Base of the formats that know one function, which takes one string."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, ClassVar

from ...tools.base import FunctionSchema, ToolCall
from .common import PromptedFormat


class SingleFunctionFormat(PromptedFormat):
    """A format whose calls are all of one function, so that they need not name it.

    Attributes:
        function: Name of the function.
        argument: Name of its one argument in the published system; an environment's function may name it otherwise.
        lone_call: What fully matches an action that is a call and nothing else: one with nothing wrong with it and
            without a mark of an observation. Its first group is the argument, which is stripped and not empty. None
            where a format has no such pattern. It is not inherited: a class that reads or answers otherwise than its
            base does not share it unless it says so.
        around: What stands before and after the payload of an observation; a format with a `lone_call` has it.
    """

    function: ClassVar[str]
    argument: ClassVar[str]
    lone_call: ClassVar[re.Pattern[str] | None] = None
    around: ClassVar[tuple[str, str]] = ("", "")

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        cls.lone_call = vars(cls).get("lone_call")

    def expresses(self, function: FunctionSchema) -> bool:
        """Whether it is the one function, with one string as its argument."""
        return function.name == self.function and function.string_argument is not None

    def enclosed(self, payload: str) -> str:
        """An observation: its payload with what stands around it."""
        before, after = self.around
        return before + payload + after

    def call(self, value: str, functions: Sequence[FunctionSchema]) -> ToolCall:
        """The call that a text stands for.

        Args:
            value: The argument.
            functions: The environment's functions, for the name of the argument.
        """
        name = self.function
        for function in functions:
            if function.name == name and (argument := function.string_argument):
                return ToolCall(name, {argument: value})
        return ToolCall(name, {self.argument: value})
