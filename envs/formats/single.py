"""Base of the formats that know one function, which takes one string."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from ...tools.base import FunctionSchema, ToolCall
from .common import PromptedFormat


class SingleFunctionFormat(PromptedFormat):
    """A format whose calls are all of one function, so that they need not name it.

    Attributes:
        function: Name of the function.
        argument: Name of its one argument in the published system; an environment's function may name it otherwise.
    """

    function: ClassVar[str]
    argument: ClassVar[str]

    def expresses(self, function: FunctionSchema) -> bool:
        """Whether it is the one function, with one string as its argument."""
        return function.name == self.function and function.string_argument is not None

    def call(self, value: str, functions: Sequence[FunctionSchema]) -> ToolCall:
        """The call that a text stands for.

        Args:
            value: The argument.
            functions: The environment's functions, for the name of the argument.
        """
        argument = None
        for function in functions:
            if function.name == self.function:
                argument = argument or function.string_argument
        return ToolCall(self.function, {argument or self.argument: value})
