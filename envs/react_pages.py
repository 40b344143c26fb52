"""The pages that ReAct's environments read: a store, a corpus, or a file."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from ..tools.errors import InputError
from ..tools.rows import HUB

if TYPE_CHECKING:
    from ..tools import PageStore
    from ..tools.retrievers import Corpus
    from .world import World


def make_pages(
    corpus: Corpus | PageStore | str | Path | None, world: World | None, of_world: Callable[[World], PageStore]
) -> PageStore:
    """Pages of a source; passages with the same title are one page.

    Args:
        corpus: Passages, pages, or what `Corpus.open` opens (a file, a folder, `hf:org/name`); None for those of the
            world.
        world: Where generated tasks come from; None for tasks from rows.
        of_world: Makes the world's own pages.

    Raises:
        InputError: If there is neither, or the file cannot be read.
    """
    from ..tools import PageStore

    if isinstance(corpus, PageStore):
        return corpus
    if isinstance(corpus, str) and corpus.startswith(HUB):
        return _pages_of_source(corpus, 0)
    if isinstance(corpus, str | Path):
        path = Path(corpus).resolve()
        return _pages_of_source(str(path), path.stat().st_mtime_ns if path.exists() else 0)
    if corpus is None and world is None:
        raise InputError("rows need pages to read: give corpus=PATH, a Corpus or a PageStore")
    if corpus is None:
        assert world is not None
        return of_world(world)
    return PageStore.from_corpus(corpus)


def empty_pages() -> PageStore:
    """A store for an environment whose pages nobody will read."""
    from ..tools import PageStore

    return PageStore({"nothing": "There is nothing here."})


@lru_cache(maxsize=4)
def pages_of_world(world: World) -> PageStore:
    """One page a person, with all facts, made once per process and world."""
    from ..tools import PageStore

    return PageStore.from_corpus(world.corpus())


@lru_cache(maxsize=2)
def _pages_of_source(source: str, modified: int) -> PageStore:
    """The pages of a corpus on disk or on the Hub, made once per process and state of the file."""
    from ..tools import PageStore
    from ..tools.retrievers import Corpus

    assert modified >= 0
    return PageStore.from_corpus(Corpus.open(source))
