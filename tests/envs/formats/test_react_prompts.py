"""The worked examples of the ReAct format are what the wiki really says."""

from __future__ import annotations

import re
from collections import Counter

import pytest

from toolgym.envs.formats import react_prompts
from toolgym.envs.rewards import exact_match
from toolgym.tools import PageStore, WikiText

PAGES = {
    "Ulm": "Ulm is a city in the German state of Baden-Württemberg. It lies on the river Danube, at the border with "
    "Bavaria.",
    "Danube": "The Danube is the second-longest river in Europe, after the Volga. It rises in the Black Forest in "
    "Germany. It flows through ten countries, more than any other river in the world. Four capitals lie on it: Vienna, "
    "Bratislava, Budapest and Belgrade.\nIts longest tributary is the Tisza. It reaches the Black Sea through a delta "
    "that lies mostly in Romania. The delta is a World Heritage Site.",
    "The Bartered Bride": "The Bartered Bride is a comic opera in three acts by the Czech composer Bedřich Smetana. "
    "It was first performed in Prague in 1866.",
    "Bedřich Smetana": "Bedřich Smetana (2 March 1824 – 12 May 1884) was a Czech composer.",
    "Titan": "Titan may refer to:\nTitan (moon)\nTitans (mythology)",
    "Titan (moon)": "Titan is the largest moon of Saturn and the second-largest moon in the Solar System. It was "
    "discovered by the Dutch astronomer Christiaan Huygens in 1655.",
    "Emmy Noether": "Amalie Emmy Noether (23 March 1882 – 14 April 1935) was a German mathematician.",
    "Srinivasa Ramanujan": "Srinivasa Ramanujan (22 December 1887 – 26 April 1920) was an Indian mathematician.",
    "Barbara McClintock": "Barbara McClintock was an American scientist who studied the genetics of maize. She "
    "received the Nobel Prize in Physiology or Medicine in 1983.",
    "Thomas Hunt Morgan": "Thomas Hunt Morgan was an American biologist. He worked on embryology, evolution and "
    "genetics, and received the Nobel Prize in Physiology or Medicine in 1933.",
    "Loire": "The Loire is the longest river of France. It flows into the Atlantic Ocean at Saint-Nazaire.",
    "Rhône": "The Rhône is a river that rises in Switzerland and flows through France into the Mediterranean Sea.",
    "Eiffel Tower": "The Eiffel Tower is a lattice tower of wrought iron in Paris, France. It was built from 1887 to "
    "1889 as the centrepiece of the 1889 World's Fair.",
    "The Magic Flute": "The Magic Flute is an opera in two acts by Wolfgang Amadeus Mozart. It was first performed in "
    "Vienna in 1791.",
    "Wolfgang Amadeus Mozart": "Wolfgang Amadeus Mozart (27 January 1756 – 5 December 1791) was a composer of the "
    "Classical period. He was born in Salzburg and died in Vienna.",
    "Marie Curie": "Marie Curie (7 November 1867 – 4 July 1934) was a physicist and chemist who was born in Warsaw and "
    "worked in Paris. She received the Nobel Prize in Physics in 1903 and the Nobel Prize in Chemistry in 1911.",
    **dict.fromkeys(
        ["The Bartered Bride (1932 film)", "Barter", "Father of the Bride", "The Princess Bride (film)", "Titanic",
         "Titanium", "Titans (mythology)", "Flute", "The Magic Flute (1975 film)", "Magic Johnson", "Magic realism"],
        "A page of no use here.",
    ),
}  # fmt: skip
STEP = re.compile(r"Thought (\d+): .+\nAction (\d+): (\w)(.*)\n(?:Observation (\d+): (.*\n?)\n)?")
EXAMPLES = [*react_prompts.QUESTION_EXAMPLES, *react_prompts.CLAIM_EXAMPLES]


@pytest.mark.parametrize("example", EXAMPLES, ids=[example.partition("\n")[0] for example in EXAMPLES])
def test_an_example_is_a_true_record(example: str) -> None:
    head, _, rest = example.partition("\n")
    assert head.startswith("Claim: " if example in react_prompts.CLAIM_EXAMPLES else "Question: ")
    wiki, end = WikiText(PageStore(PAGES)), 0
    for number, step in enumerate(STEP.finditer(rest), start=1):
        assert step.start() == end and step[1] == step[2] == str(number)
        observation = wiki.step(step[3].lower() + step[4])
        end = step.end()
        if not wiki.finished:
            assert step[5] == str(number)
            assert step[6] == observation
    assert wiki.finished and end == len(rest)


def test_each_kind_of_step_is_shown() -> None:
    questions, claims = "".join(react_prompts.QUESTION_EXAMPLES), "".join(react_prompts.CLAIM_EXAMPLES)
    assert len(react_prompts.QUESTION_EXAMPLES) == 6 and len(react_prompts.CLAIM_EXAMPLES) == 3
    assert "Lookup[" in questions and "(Result 1 / 1)" in questions
    assert "Could not find Bartered Bride" in questions and "Could not find [Titan]" in questions
    assert "Finish[no]" in questions
    assert Counter(re.findall(r"Finish\[(.*)\]", claims)) == {"SUPPORTS": 1, "REFUTES": 1, "NOT ENOUGH INFO": 1}
    for label in ("SUPPORTS", "REFUTES", "NOT ENOUGH INFO"):
        assert label in react_prompts.CLAIM_INSTRUCTION
    for instruction in (react_prompts.QUESTION_INSTRUCTION, react_prompts.CLAIM_INSTRUCTION):
        assert all(f"{name}[" in instruction for name in ("Search", "Lookup", "Finish"))
        assert instruction.endswith("follow.\n")


def test_no_example_gives_another_ones_answer() -> None:
    answers = [re.findall(r"Finish\[(.*)\]", example)[0] for example in react_prompts.QUESTION_EXAMPLES]
    assert sum(exact_match(one, other) for one in answers for other in answers) == len(answers)
