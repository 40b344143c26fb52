"""Knights and knaves solved in steps: suppose, contradict, go back."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Literal, NamedTuple

from .knights_grammar import LEAVES, Statement, Statements, knight_tables, truth_table
from .knights_wording import claim


class Step(NamedTuple):
    """One step of a search for the roles.

    Attributes:
        kind: `suppose` (a role that contradicts nothing yet), `reject` (a role that does) or `reconsider` (both roles
            of the persons in `exhausted` failed, so `person` is tried again).
        person: Whom it is about.
        knight: The role that is supposed or rejected.
        against: Of a rejected role: whose statement it contradicts.
        against_knight: The role that this person has.
        exhausted: Who is left open again, the last tried first.
    """

    kind: Literal["suppose", "reject", "reconsider"]
    person: int
    knight: bool = False
    against: int = 0
    against_knight: bool = False
    exhausted: tuple[int, ...] = ()


class Reasoning(NamedTuple):
    """A search for the roles and what it found.

    Attributes:
        steps: The steps in order.
        solution: The roles, or None if all of them lead to contradictions.
    """

    steps: tuple[Step, ...]
    solution: tuple[bool, ...] | None


def reason(statements: Statements) -> Reasoning:
    """Searches for roles, depth first, each person as a knight first.

    The steps are those of the synthetic chain of thought of Xie et al. 2024 (arXiv 2410.23123; AlphaPav/mem-kk-logic,
    `generate_chain_of_thoughts`): after a supposition come the persons that the statement mentions; a supposition
    fails when the statement of a person whose role is set can no longer be as true or false as that role demands,
    whatever the roles still open.

    Args:
        statements: What each person says.
    """
    count = len(statements)
    knights, full = knight_tables(count)
    claims = [truth_table(statement, knights, full) for statement in statements]
    order, place, steps = list(range(count)), 0, list[Step]()
    roles: dict[int, bool] = {}
    untried = [[False, True] for _ in range(count)]
    while place < count:
        if not untried[order[place]]:
            exhausted = []
            while place >= 0 and not untried[order[place]]:
                exhausted.append(order[place])
                untried[order[place]] = [False, True]
                del roles[order[place]]
                place -= 1
            if place < 0:
                return Reasoning(tuple(steps), None)
            steps.append(Step("reconsider", order[place], exhausted=tuple(exhausted)))
        person = order[place]
        roles[person] = knight = untried[person].pop()
        against = _contradicted(roles, claims, knights, full)
        if against is not None:
            steps.append(Step("reject", person, knight, against, roles[against]))
            continue
        steps.append(Step("suppose", person, knight))
        place += 1
        order[place:] = _mentioned_first(order[place:], statements[person])
    return Reasoning(tuple(steps), tuple(roles[person] for person in range(count)))


def tell(reasoning: Reasoning, statements: Statements, names: Sequence[str], words: Mapping[str, str]) -> str:
    """A search in words of our own, as one line.

    Args:
        reasoning: The search.
        statements: What each person says.
        names: The persons.
        words: The words for the two roles (`role_words`).
    """
    claims = [claim(statement, names, words) for statement in statements]
    told = [_tell_step(step, claims, names, words) for step in reasoning.steps]
    end = "Now everyone has a role, and no statement contradicts it."
    return " ".join([*told, "No choice of roles is left." if reasoning.solution is None else end])


def _tell_step(step: Step, claims: Sequence[str], names: Sequence[str], words: Mapping[str, str]) -> str:
    name = names[step.person]
    if step.kind == "reconsider":
        failed = " or ".join(names[person] for person in step.exhausted)
        return f"No role is left for {failed}, so back to {name}."
    role = words["a_knight" if step.knight else "a_knave"]
    if step.kind == "suppose":
        truth = "true" if step.knight else "false"
        return f"Suppose {name} is {role}: it can be {truth} that {claims[step.person]}."
    whose = "their own claim" if step.against == step.person else f"the claim of {names[step.against]}"
    truth = "true" if step.against_knight else "false"
    return f"{name} is not {role}: {whose} that {claims[step.against]} could not be {truth}."


def _contradicted(roles: Mapping[int, bool], claims: Sequence[int], knights: Sequence[int], full: int) -> int | None:
    """The first person with a role whose claim cannot be as that role demands, or None."""
    open_choices = full
    for person, knight in roles.items():
        open_choices &= knights[person] if knight else full ^ knights[person]
    for person in sorted(roles):
        if not open_choices & (claims[person] if roles[person] else full ^ claims[person]):
            return person
    return None


def _mentioned_first(people: Sequence[int], statement: Statement) -> list[int]:
    """The people in their order, but those mentioned in a statement before the others."""
    mentioned = [person for person in dict.fromkeys(_mentioned(statement)) if person in people]
    return mentioned + [person for person in people if person not in mentioned]


def _mentioned(statement: Statement) -> Iterator[int]:
    if statement[0] in LEAVES:
        yield statement[1]
    else:
        for part in statement[1:]:
            yield from _mentioned(part)
