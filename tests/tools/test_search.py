from collections.abc import Sequence

import pytest

from toolgym.tools import InputError, SearchTool, ToolCall, ToolRuntime, ToolStatus
from toolgym.tools.retrievers import BM25Retriever, Corpus, Passage

CORPUS = Corpus(
    [
        Passage("a", "Bern", "Capital of Switzerland."),
        Passage("b", "", "Bern has bears."),
        Passage("c", "Paris", "A city."),
    ]
)


def runtime(**options: object) -> ToolRuntime:
    return ToolRuntime([SearchTool(BM25Retriever(CORPUS), **options)])  # type: ignore[arg-type]


def test_passages_are_numbered_and_named_in_the_metadata() -> None:
    result = runtime().call(ToolCall("search", {"query": "bern switzerland"}))
    assert result.status is ToolStatus.OK
    assert result.output == "[1] Bern\nCapital of Switzerland.\n\n[2] Bern has bears."
    assert result.metadata["passage_ids"] == ["a", "b"] and result.metadata["titles"] == ["Bern", ""]
    assert result.metadata["passages"][1] == {"id": "b", "title": "", "text": "Bern has bears."}


def test_k_name_and_rendering_are_options() -> None:
    def ids(passages: Sequence[Passage]) -> str:
        return ",".join(passage.id for passage in passages)

    tool = runtime(k=1, name="find", description="Finds.", render=ids)
    assert tool.functions[0].description == "Finds."
    assert tool.call(ToolCall("find", {"query": "bern"})).output == "b"
    with pytest.raises(InputError, match="k is 0"):
        runtime(k=0)


def test_nothing_found_and_nothing_asked() -> None:
    nothing = runtime().call(ToolCall("search", {"query": "zebra"}))
    assert (nothing.status, nothing.output, nothing.metadata["passage_ids"]) == (
        ToolStatus.OK,
        "No passages found.",
        [],
    )
    empty = runtime().call(ToolCall("search", {"query": " \n"}))
    assert empty.status is ToolStatus.BAD_ARGUMENTS and "query is empty" in empty.output
