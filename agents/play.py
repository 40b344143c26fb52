"""A person plays an episode, in the place of a model."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from typing import Any

from rich.console import Console
from rich.panel import Panel
from rich.text import Text

from ..envs.env import ToolEnv
from ..envs.episode import Action

HELP = """Write an action in the environment's format and send it with an empty line. It is sent at once when it ends
with a stop string, as a model's would be.
  /oracle   show what the oracle would write now
  /accept   send what /oracle showed last
  /prompt   show the prompt again
  /help     show this
  /quit     leave the episode"""


@dataclass
class Played:
    """What came of an episode that a person played.

    Attributes:
        task_id: The task.
        question: What was asked.
        gold: Accepted answers; empty while the episode is unfinished.
        turns: Each turn's action, observation, faults and calls.
        stop_reason: Why it ended; None when the person left it.
        answer: The final answer.
        reward: What a trainer would optimise.
        score: Verified correctness; None for an unfinished episode.
        reward_terms: Named parts of the reward.
    """

    task_id: str
    question: str
    gold: tuple[str, ...] = ()
    turns: list[dict[str, Any]] = field(default_factory=list)
    stop_reason: str | None = None
    answer: str | None = None
    reward: float = 0.0
    score: float | None = None
    reward_terms: dict[str, float] = field(default_factory=dict)

    def as_json(self) -> dict[str, Any]:
        """The episode as JSON."""
        return {**asdict(self), "gold": list(self.gold)}


class Player:
    """Shows an environment to a person and takes the person's actions.

    Args:
        env: The environment.
        lines: What the person types, line by line, without line ends.
        console: Where to show things.
        interactive: Whether a person sits at a terminal, so that a mark shows whose turn it is.
    """

    def __init__(self, env: ToolEnv, lines: Iterator[str], console: Console, interactive: bool = True) -> None:
        self.env, self.lines, self.console, self.interactive = env, lines, console, interactive
        self._shown: str | None = None

    def play(self, task_id: str | None = None, seed: int | None = None) -> Played:
        """Plays one episode, or as much of it as the person does.

        Args:
            task_id: Which task; one drawn with `seed` by default.
            seed: Seed of the episode.

        Raises:
            InputError: If there is no such task.
        """
        options = None if task_id is None else {"task_id": task_id}
        prompt, info = self.env.reset(seed=seed, options=options)
        task = self.env.episode.task
        played = Played(task.id, task.question)
        self._box(f"task {task.id}", prompt, "cyan")
        if self.interactive:
            self.console.print(Text(HELP, style="dim"))
        while (action := self._next_action()) is not None:
            observation, reward, terminated, truncated, info = self.env.step(Action(action))
            played.turns.append(
                {"action": action, "observation": observation, "faults": info["faults"], "calls": info["calls"]}
            )
            self._show_step(action, observation, info)
            if terminated or truncated:
                played.stop_reason, played.reward = str(info["stop_reason"]), reward
                played.score, played.answer = float(info["score"]), info["answer"]
                played.reward_terms, played.gold = dict(info["reward_terms"]), task.answers
                self._show_end(played)
                break
        else:
            self.console.print(Text("The episode was left before its end.", style="yellow"))
        self.env.close()
        return played

    def _next_action(self) -> str | None:
        """What the person sends; None when they leave."""
        written: list[str] = []
        self._mark(written)
        for line in self.lines:
            command = line.strip()
            if not written and command.startswith("/"):
                if command == "/quit":
                    return None
                if command == "/accept" and self._shown is not None:
                    accepted, self._shown = self._shown, None
                    return accepted
                self._obey(command)
            elif command or written:
                if not command:
                    return "\n".join(written)
                written.append(line)
                if line.rstrip().endswith(self.env.stop or ("\0",)):
                    return "\n".join(written).rstrip()
            self._mark(written)
        return "\n".join(written) if written else None

    def _obey(self, command: str) -> None:
        if command == "/help":
            self.console.print(Text(HELP, style="dim"))
        elif command == "/prompt":
            self._box("prompt", self.env.episode.prompt, "cyan")
        elif command == "/oracle":
            try:
                self._shown = self.env.oracle()(self.env.episode)
            except NotImplementedError as error:
                self.console.print(Text(str(error), style="yellow"))
            else:
                self._box("the oracle would write (/accept sends it)", self._shown, "magenta")
        elif command == "/accept":
            self.console.print(Text("There is nothing to accept; /oracle shows an action first.", style="yellow"))
        else:
            self.console.print(Text(f"There is no command {command}; /help lists them.", style="yellow"))

    def _show_step(self, action: str, observation: str, info: dict[str, Any]) -> None:
        if not self.interactive:
            self._box("action", action, "blue")
        for call in info["calls"]:
            style = "green" if call["status"] == "ok" else "red"
            self.console.print(Text(f"call {call['name']}: {call['status']}, {call['seconds']:.3f} s", style=style))
        if info["faults"]:
            self.console.print(Text(f"format faults: {', '.join(info['faults'])}", style="red"))
        if observation:
            self._box("observation", observation, "yellow")

    def _show_end(self, played: Played) -> None:
        right = played.score is not None and played.score >= 1
        lines = [
            f"score   {played.score}",
            f"reward  {played.reward:g}",
            *(f"  {name} {value:g}" for name, value in played.reward_terms.items()),
            f"ended   {played.stop_reason}",
            f"answer  {played.answer if played.answer is not None else '(none)'}",
            f"gold    {' | '.join(played.gold) or '(verified without one)'}",
        ]
        self._box("the end", "\n".join(lines), "green" if right else "red")

    def _box(self, title: str, text: str, style: str) -> None:
        self.console.print(Panel(Text(text), title=Text(title), title_align="left", border_style=style))

    def _mark(self, written: list[str]) -> None:
        if self.interactive:
            self.console.print(Text("... " if written else ">>> ", style="bold"), end="")
