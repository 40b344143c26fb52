"""The one place where strings become token ids, and ids become strings.

What a task, a tool or a person wrote is encoded with special tokens disabled: an `<|im_end|>` in a web page is text.
What the chat template itself writes around it keeps its special tokens.
"""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from ..envs.episode import Message
from ..envs.limits import ObservationCut
from ..tools.errors import InputError

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


Schemas = Sequence[Mapping[str, Any]]
"""Functions in the form of OpenAI's `tools`, for templates that show them; empty where the prompt does."""


class Extension(NamedTuple):
    """How a row goes on after an action.

    Attributes:
        token_ids: Ids to append to the row, or, after a fork, the whole new row's prompt.
        forked: Whether the template rewrote the history, so that a new row must begin.
    """

    token_ids: tuple[int, ...]
    forked: bool


class Codec:
    """Encodes prompts and observations, decodes actions.

    Args:
        tokenizer: A fast Hugging Face tokenizer.
        chat: Whether to use the chat template; None uses it when there is one.
        end_ids: Further ids that end a turn (from the model's generation config).

    Attributes:
        chat: Whether prompts go through the chat template.
        end_ids: Every id that ends a turn.
        end_id: The id that a demonstration ends a turn with.

    Raises:
        InputError: If the chat template is asked for and there is none, or there is no end token.
    """

    def __init__(
        self, tokenizer: PreTrainedTokenizerBase, chat: bool | None = None, end_ids: Sequence[int] = ()
    ) -> None:
        has_template = tokenizer.chat_template is not None
        if chat and not has_template:
            raise InputError("the tokenizer has no chat template; set chat=false to encode prompts as plain text")
        if tokenizer.eos_token_id is None:
            raise InputError("the tokenizer has no end-of-sequence token (eos_token); set one in its folder")
        self.tokenizer = tokenizer
        # The tokenizer keeps the special-token switch as state, and environments truncate in worker threads.
        self._lock = threading.Lock()
        self.chat = has_template if chat is None else chat
        self.end_id: int = int(tokenizer.eos_token_id)
        self.end_ids = frozenset({self.end_id, *(int(token_id) for token_id in end_ids)})
        # `all_special_tokens` names those with a role; a tokenizer may hold hundreds of others.
        added = (str(token) for token in tokenizer.added_tokens_decoder.values() if token.special)
        self._specials = sorted({*map(str, tokenizer.all_special_tokens), *added} - {""}, key=len, reverse=True)
        self._special_pattern = re.compile("|".join(map(re.escape, self._specials)))

    @classmethod
    def from_folder(cls, folder: str | Path, chat: bool | None = None) -> Codec:
        """Loads the tokenizer of a checkpoint folder (or of a name in the local Hugging Face cache).

        Raises:
            InputError: If there is no tokenizer.
        """
        from transformers import AutoTokenizer

        path = Path(folder)
        if not path.exists() and (path.is_absolute() or str(folder).startswith((".", "~"))):
            raise InputError(f"{folder}: there is no such model folder")
        if path.exists() and not any((path / name).exists() for name in ("tokenizer.json", "tokenizer_config.json")):
            raise InputError(f"{folder}: the model folder holds no tokenizer.json; save a tokenizer beside the model")
        try:
            tokenizer = AutoTokenizer.from_pretrained(str(folder))
        except (OSError, ValueError) as error:
            raise InputError(f"{folder}: no tokenizer could be loaded ({str(error).splitlines()[0]})") from error
        return cls(tokenizer, chat, _generation_end_ids(path))

    @property
    def vocabulary_size(self) -> int:
        """Number of ids, added tokens included."""
        return len(self.tokenizer)

    # Text ------------------------------------------------------------------------------------------------------

    def encode_text(self, text: str) -> tuple[int, ...]:
        """Ids of a text that somebody else wrote: special tokens in it are spelled out, none is added."""
        with self._lock:
            return tuple(self.tokenizer(_valid(text), add_special_tokens=False, split_special_tokens=True)["input_ids"])

    def decode(self, token_ids: Sequence[int]) -> str:
        """Text of ids, special tokens spelled out."""
        return str(
            self.tokenizer.decode(list(token_ids), skip_special_tokens=False, clean_up_tokenization_spaces=False)
        )

    def truncate(self, text: str, max_tokens: int, keep: ObservationCut = "ends") -> str:
        """The text shortened to at most `max_tokens` tokens.

        Args:
            text: The text.
            max_tokens: Cap.
            keep: `ends` keeps the head and the tail and says what was cut, if there is room to say it; `head` keeps the
                head alone.
        """
        ids = self.encode_text(text)
        if len(ids) <= max_tokens:
            return text
        if keep == "head":
            return self._head(ids, max_tokens)
        notice = f"\n[... {len(ids) - max_tokens} tokens or more omitted ...]\n"
        room = max_tokens - len(self.encode_text(notice))
        if room < 2:
            return self._head(ids, max_tokens)
        # Joining may tokenise differently at the seams: shrink until it fits.
        while room >= 2:
            head, tail = self.decode(ids[: room - room // 2]), self.decode(ids[len(ids) - room // 2 :])
            shortened = head + notice + tail
            if len(self.encode_text(shortened)) <= max_tokens:
                return shortened
            room -= 1
        return self._head(ids, max_tokens)

    def _head(self, ids: Sequence[int], max_tokens: int) -> str:
        for count in range(max_tokens, 0, -1):
            text = self.decode(ids[:count])
            if len(self.encode_text(text)) <= max_tokens:
                return text
        return ""

    # Prompts and extensions ------------------------------------------------------------------------------------

    def encode_prompt(
        self, text: str, messages: Sequence[Message], prefill: str = "", tools: Schemas = ()
    ) -> tuple[int, ...]:
        """Ids of the first prompt.

        Args:
            text: The prompt as plain text, used without a chat template.
            messages: The prompt as chat messages, used with one.
            prefill: Text put at the start of the agent's turn.
            tools: What the template is to show of the functions.

        Raises:
            InputError: If the template takes no tools.
        """
        prefill_ids = self.encode_text(prefill) if prefill else ()
        if not self.chat:
            start = () if self.tokenizer.bos_token_id is None else (int(self.tokenizer.bos_token_id),)
            return start + self.encode_text(text) + prefill_ids
        if tools and "tools" not in str(self.tokenizer.chat_template):
            raise InputError("the chat template shows no tools; take action_format='hermes', whose prompt does")
        return self._encode_messages(messages, tools) + prefill_ids

    def extend_text(self, sampled: Sequence[int], observation: str, prefill: str = "") -> Extension:
        """Continues a row whose observations are part of one growing text.

        Args:
            sampled: Ids of the action; an end token that the policy sampled stays, for that is what the engine saw.
            observation: The new text.
            prefill: Text put at the start of the agent's turn.
        """
        del sampled
        return Extension(self.encode_text(observation) + (self.encode_text(prefill) if prefill else ()), forked=False)

    def extend_chat(
        self,
        history: Sequence[Message],
        action: str,
        sampled: Sequence[int],
        observation: Sequence[Message],
        *,
        message: Message | None = None,
        prefill: str = "",
        tools: Schemas = (),
    ) -> Extension:
        """Continues a row whose observations are chat messages.

        Args:
            history: Messages before the action.
            action: Text of the action.
            sampled: Ids of the action.
            observation: The new messages.
            message: The action as a message; by default the assistant's with the action's text as its content.
            prefill: Text put at the start of every turn of the agent; a given message holds it.
            tools: As in `encode_prompt`.

        Returns:
            What closes the assistant's turn, the messages and the opening of the next turn; or, where the template
            does not repeat the history verbatim (it drops earlier thoughts, or writes calls in another way), the whole
            prompt of a new row.
        """
        past = [*history, message or {"role": "assistant", "content": prefill + action}]
        prefill_ids = self.encode_text(prefill) if prefill else ()
        before, after = self._render(history, tools) + prefill, self._render([*past, *observation], tools)
        said = _valid(action)
        held = next((text for text in (before + said, before + said.rstrip()) if after.startswith(text)), None)
        if held is not None and self._holds_special(observation):
            guarded, mark = self._guard([*past, *observation])
            after = self._render([*past, *guarded[len(past) :]], tools)
            ids = self._encode_guarded(after[len(held) :], mark)
            held = held if after.startswith(held) else None
        elif held is not None:
            ids = self._encode_template(after[len(held) :])
        if held is None:
            return Extension(self._encode_messages([*past, *observation], tools) + prefill_ids, forked=True)
        if sampled and sampled[-1] in self.end_ids and ids[:1] == (sampled[-1],):
            ids = ids[1:]  # the policy itself ended its turn
        return Extension(ids + prefill_ids, forked=False)

    def _render(self, messages: Sequence[Message], tools: Schemas = ()) -> str:
        clean = [_for_template(message) for message in messages]
        options: dict[str, Any] = {"tools": [dict(tool) for tool in tools]} if tools else {}
        try:
            return str(self.tokenizer.apply_chat_template(clean, tokenize=False, add_generation_prompt=True, **options))
        except Exception as error:  # templates raise their own error classes
            raise InputError(f"the chat template refused the conversation: {str(error).splitlines()[0]}") from error

    def _encode_messages(self, messages: Sequence[Message], tools: Schemas = ()) -> tuple[int, ...]:
        if not self._holds_special(messages):
            return self._encode_template(self._render(messages, tools))
        guarded, mark = self._guard(messages)
        return self._encode_guarded(self._render(guarded, tools), mark)

    def _holds_special(self, messages: Sequence[Message]) -> bool:
        return any(self._special_pattern.search(text) for message in messages for text in _texts(message))

    def _guard(self, messages: Sequence[Message]) -> tuple[list[Message], str]:
        """The messages with stand-ins for special tokens in their texts, and the character that encloses these.

        The rest of a text stays, because templates look at how it begins and what it holds.
        """
        text = "".join(text for message in messages for text in _texts(message))
        mark = next(chr(code) for code in range(0xE000, 0xF900) if chr(code) not in text)

        def stand_in(found: re.Match[str]) -> str:
            return f"{mark}{self._specials.index(found[0])}{mark}"

        return [_rewrite(message, lambda text: self._special_pattern.sub(stand_in, text)) for message in messages], mark

    def _encode_template(self, text: str) -> tuple[int, ...]:
        """Ids of a text of the chat template, whose special tokens are meant."""
        with self._lock:
            return tuple(self.tokenizer(text, add_special_tokens=False, split_special_tokens=False)["input_ids"])

    def _encode_guarded(self, text: str, mark: str) -> tuple[int, ...]:
        """Ids of a rendered template with stand-ins: its own special tokens are meant, those behind stand-ins not."""
        ids: tuple[int, ...] = ()
        for position, piece in enumerate(re.split(f"{mark}(\\d+){mark}", text)):
            ids += self.encode_text(self._specials[int(piece)]) if position % 2 else self._encode_template(piece)
        return ids


class TextCodec(Codec):
    """A codec without a tokenizer, for engines that take and give text: served models and scripted policies.

    An id stands for up to four ASCII characters or one other character, so that bounds in tokens mean about what they
    mean with a tokenizer. Rows of such ids can be counted and read, never trained.
    """

    def __init__(self) -> None:
        self.chat = False
        self.end_id = 0
        self.end_ids = frozenset({0})

    @property
    def vocabulary_size(self) -> int:
        """Number of ids that there could be."""
        return 1 << 40

    def encode_text(self, text: str) -> tuple[int, ...]:
        """Ids of a text. The leading byte 1 keeps the zero bytes of a text."""
        return tuple(int.from_bytes(b"\x01" + piece.encode(), "big") for piece in _PIECE.findall(_valid(text)))

    def decode(self, token_ids: Sequence[int]) -> str:
        """Text of ids."""
        pieces = (token_id.to_bytes((token_id.bit_length() + 7) // 8, "big")[1:] for token_id in token_ids)
        return b"".join(pieces).decode("utf-8", "replace")

    def encode_prompt(
        self, text: str, messages: Sequence[Message], prefill: str = "", tools: Schemas = ()
    ) -> tuple[int, ...]:
        """Ids of the plain prompt."""
        return self.encode_text(text + prefill)


_PIECE = re.compile(r"[\x00-\x7f]{1,4}|[^\x00-\x7f]")


def _valid(text: str) -> str:
    """The text with lone surrogates replaced, which no tokenizer accepts."""
    return text.encode("utf-8", "replace").decode("utf-8")


def valid_message(message: Message) -> Message:
    """The message with lone surrogates replaced in its texts, which no server accepts either."""
    valid: Message = _rewrite(message, _valid)
    return valid


def _for_template(message: Message) -> Message:
    """The message as templates want it: a text as content, and the arguments of calls as objects."""
    valid = {**valid_message(message), "content": _valid(str(message.get("content") or ""))}
    if "tool_calls" in valid:
        valid["tool_calls"] = [
            {**call, "function": {**call["function"], "arguments": json.loads(call["function"]["arguments"])}}
            for call in valid["tool_calls"]
        ]
    return valid


def _rewrite(value: Any, change: Callable[[str], str]) -> Any:
    """A message, or a part of one, with all its texts changed; keys and roles stay."""
    if isinstance(value, str):
        return change(value)
    if isinstance(value, list):
        return [_rewrite(item, change) for item in value]
    if isinstance(value, dict):
        return {key: item if key in ("role", "type") else _rewrite(item, change) for key, item in value.items()}
    return value


def _texts(message: Message) -> list[str]:
    """All texts of a message."""
    found: list[str] = []

    def collect(text: str) -> str:
        found.append(text)
        return text

    _rewrite(message, collect)
    return found


def _generation_end_ids(folder: Path) -> Sequence[int]:
    """End-of-turn ids of a checkpoint's generation config (several, in some families)."""
    path = folder / "generation_config.json"
    if not path.exists():
        return ()
    value: Any = json.loads(path.read_text()).get("eos_token_id")
    if value is None:
        return ()
    return [int(item) for item in value] if isinstance(value, list) else [int(value)]
