"""ReAct's Wikipedia environment as a machine of text: an action in, an observation out."""

from __future__ import annotations

from collections.abc import Callable

from .wiki import WikiSession
from .wiki_pages import PageStore

GREETING = "Interact with Wikipedia using search[], lookup[], and finish[].\n"


class WikiText:
    """The environment `WikiEnv` of ysymyth/ReAct (`wikienv.py`), over a store of pages.

    Observations are the original's, letter by letter: actions are matched with regard to case and must end with `]`;
    what is no action is answered with `Invalid action: ...` and counts as a step; after `finish[...]` every action
    returns the last observation and counts for nothing. `toolgym/ReActQA-v0` puts the same wiki behind an action
    format; this is the wiki alone.

    Three things belong to the live site and have no counterpart: escapes of the transport are not undone (a backslash
    on a page is a backslash), an entity is searched as it is (a URL ends it at `&` or `#`), and a search that finds no
    title at all lists the nearest ones all the same.

    Args:
        store: The pages.
        reward: Rates an answer, 0 or 1, for the last observation, as the original's wrappers of HotpotQA and FEVER do.
            None stands for the bare environment, which always says 0.
    """

    def __init__(self, store: PageStore, reward: Callable[[str], float] | None = None) -> None:
        self._store = store
        self._reward = reward
        self.reset()

    def reset(self) -> str:
        """Starts again with no page open; returns the greeting."""
        self._session = WikiSession(self._store)
        self.observation = GREETING
        self.steps = 0
        self.answer: str | None = None
        return self.observation

    @property
    def finished(self) -> bool:
        """Whether an answer was given."""
        return self.answer is not None

    def step(self, action: str) -> str:
        """Takes one action.

        Args:
            action: `search[entity]`, `lookup[keyword]`, `think[anything]` or `finish[answer]`; outer whitespace does
                not count.

        Returns:
            The observation.
        """
        if self.answer is not None:
            return self.observation
        self.steps += 1
        action = action.strip()
        name, opened, rest = action.partition("[")
        if opened and rest.endswith("]") and name in ("search", "lookup", "think", "finish"):
            self.observation = self._act(name, rest[:-1])
        else:
            self.observation = f"Invalid action: {action}"
        return self.observation

    def _act(self, name: str, argument: str) -> str:
        if name == "search":
            return self._session.search(argument).output
        if name == "lookup":
            return self._session.lookup(argument).output
        if name == "think":
            return "Nice thought."
        self.answer = argument
        reward = 0 if self._reward is None else self._reward(argument)
        return f"Episode finished, reward = {reward:g}\n"
