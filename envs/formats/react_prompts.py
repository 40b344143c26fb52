"""Instructions and worked examples of the ReAct format.

The examples are this project's own: their facts are true, and each observation is, to the letter, what the wiki tool
says of a page with that content (a sentence that ends a paragraph ends with two full stops).
"""

from __future__ import annotations

QUESTION_INSTRUCTION = """\
Answer a question by writing Thought, Action and Observation steps in turn. A Thought reasons about what is known and \
what to do next. An Action is one of three:
(1) Search[entity] opens the page of that entity in an encyclopaedia and returns its first sentences; if there is no \
such page, it returns titles that are close to it.
(2) Lookup[keyword] returns the next sentence of the open page that contains the keyword.
(3) Finish[answer] gives the answer and ends the task.
The Observation is what the Action returned. Six examples follow.
"""
"""What the agent is to do with a question."""

QUESTION_EXAMPLES = (
    """\
Question: In which country does the river on which Ulm lies reach the sea?
Thought 1: I need to find the river on which Ulm lies, and then the country in which that river reaches the sea.
Action 1: Search[Ulm]
Observation 1: Ulm is a city in the German state of Baden-Württemberg. It lies on the river Danube, at the border with \
Bavaria..
Thought 2: Ulm lies on the Danube. I need to find where the Danube reaches the sea.
Action 2: Search[Danube]
Observation 2: The Danube is the second-longest river in Europe, after the Volga. It rises in the Black Forest in \
Germany. It flows through ten countries, more than any other river in the world. Four capitals lie on it: Vienna, \
Bratislava, Budapest and Belgrade.. Its longest tributary is the Tisza.
Thought 3: The first sentences do not say where it ends. I can look up "sea".
Action 3: Lookup[sea]
Observation 3: (Result 1 / 1) It reaches the Black Sea through a delta that lies mostly in Romania.
Thought 4: The Danube reaches the Black Sea mostly in Romania, so the answer is Romania.
Action 4: Finish[Romania]
""",
    """\
Question: In which year was the composer of the opera Bartered Bride born?
Thought 1: I need to find the composer of Bartered Bride, and then the year in which the composer was born.
Action 1: Search[Bartered Bride]
Observation 1: Could not find Bartered Bride. Similar: ['The Bartered Bride', 'The Bartered Bride (1932 film)', \
'Barter', 'Father of the Bride', 'The Princess Bride (film)'].
Thought 2: There is no page of that title, but the opera should be the page The Bartered Bride.
Action 2: Search[The Bartered Bride]
Observation 2: The Bartered Bride is a comic opera in three acts by the Czech composer Bedřich Smetana. It was first \
performed in Prague in 1866..
Thought 3: The composer is Bedřich Smetana. I need to find when he was born.
Action 3: Search[Bedřich Smetana]
Observation 3: Bedřich Smetana (2 March 1824 – 12 May 1884) was a Czech composer..
Thought 4: Bedřich Smetana was born in 1824.
Action 4: Finish[1824]
""",
    """\
Question: Which astronomer discovered Titan, the largest moon of Saturn?
Thought 1: I need to search Titan and find who discovered it.
Action 1: Search[Titan]
Observation 1: Could not find [Titan]. Similar: ['Titan', 'Titanic', 'Titan (moon)', 'Titanium', \
'Titans (mythology)'].
Thought 2: The name means several things. The moon should be the page Titan (moon).
Action 2: Search[Titan (moon)]
Observation 2: Titan is the largest moon of Saturn and the second-largest moon in the Solar System. It was discovered \
by the Dutch astronomer Christiaan Huygens in 1655..
Thought 3: Titan was discovered by Christiaan Huygens.
Action 3: Finish[Christiaan Huygens]
""",
    """\
Question: Who was born first, Emmy Noether or Srinivasa Ramanujan?
Thought 1: I need the years in which Emmy Noether and Srinivasa Ramanujan were born.
Action 1: Search[Emmy Noether]
Observation 1: Amalie Emmy Noether (23 March 1882 – 14 April 1935) was a German mathematician..
Thought 2: Emmy Noether was born in 1882. I need to search Srinivasa Ramanujan next.
Action 2: Search[Srinivasa Ramanujan]
Observation 2: Srinivasa Ramanujan (22 December 1887 – 26 April 1920) was an Indian mathematician..
Thought 3: 1882 is before 1887, so Emmy Noether was born first.
Action 3: Finish[Emmy Noether]
""",
    """\
Question: To which branch of biology did both Barbara McClintock and Thomas Hunt Morgan contribute?
Thought 1: I need to find the fields of Barbara McClintock and of Thomas Hunt Morgan, and what they have in common.
Action 1: Search[Barbara McClintock]
Observation 1: Barbara McClintock was an American scientist who studied the genetics of maize. She received the Nobel \
Prize in Physiology or Medicine in 1983..
Thought 2: Barbara McClintock worked on genetics. I need to search Thomas Hunt Morgan next.
Action 2: Search[Thomas Hunt Morgan]
Observation 2: Thomas Hunt Morgan was an American biologist. He worked on embryology, evolution and genetics, and \
received the Nobel Prize in Physiology or Medicine in 1933..
Thought 3: Thomas Hunt Morgan worked on embryology, evolution and genetics. What they share is genetics.
Action 3: Finish[genetics]
""",
    """\
Question: Do the Loire and the Rhône flow into the same sea?
Thought 1: I need to find where the Loire and the Rhône end, and whether that is the same sea.
Action 1: Search[Loire]
Observation 1: The Loire is the longest river of France. It flows into the Atlantic Ocean at Saint-Nazaire..
Thought 2: The Loire flows into the Atlantic Ocean. I need to search Rhône next.
Action 2: Search[Rhône]
Observation 2: The Rhône is a river that rises in Switzerland and flows through France into the Mediterranean Sea..
Thought 3: The Rhône flows into the Mediterranean Sea, and the Loire into the Atlantic Ocean, so they do not.
Action 3: Finish[no]
""",
)
"""Six questions: with a lookup, a failed search, a disambiguation page, a comparison, a common trait, and yes or no."""

CLAIM_INSTRUCTION = """\
Decide whether an encyclopaedia supports or refutes a claim, or does not say enough about it, by writing Thought, \
Action and Observation steps in turn. A Thought reasons about what is known and what to do next. An Action is one of \
three:
(1) Search[entity] opens the page of that entity and returns its first sentences; if there is no such page, it returns \
titles that are close to it.
(2) Lookup[keyword] returns the next sentence of the open page that contains the keyword.
(3) Finish[label] ends the task; the label is SUPPORTS, REFUTES or NOT ENOUGH INFO.
The Observation is what the Action returned. Three examples follow.
"""
"""What the agent is to do with a claim."""

CLAIM_EXAMPLES = (
    """\
Claim: The Eiffel Tower was built for a world's fair.
Thought 1: I need to search Eiffel Tower and find what it was built for.
Action 1: Search[Eiffel Tower]
Observation 1: The Eiffel Tower is a lattice tower of wrought iron in Paris, France. It was built from 1887 to 1889 as \
the centrepiece of the 1889 World's Fair..
Thought 2: It was built as the centrepiece of the 1889 World's Fair, so the claim is true.
Action 2: Finish[SUPPORTS]
""",
    """\
Claim: The composer of Magic Flute was born in Vienna.
Thought 1: I need to find the composer of Magic Flute, and then where the composer was born.
Action 1: Search[Magic Flute]
Observation 1: Could not find Magic Flute. Similar: ['The Magic Flute', 'Flute', 'The Magic Flute (1975 film)', \
'Magic Johnson', 'Magic realism'].
Thought 2: The opera should be the page The Magic Flute.
Action 2: Search[The Magic Flute]
Observation 2: The Magic Flute is an opera in two acts by Wolfgang Amadeus Mozart. It was first performed in Vienna in \
1791..
Thought 3: The composer is Wolfgang Amadeus Mozart. I need to find where he was born.
Action 3: Search[Wolfgang Amadeus Mozart]
Observation 3: Wolfgang Amadeus Mozart (27 January 1756 – 5 December 1791) was a composer of the Classical period. He \
was born in Salzburg and died in Vienna..
Thought 4: He was born in Salzburg and not in Vienna, so the claim is false.
Action 4: Finish[REFUTES]
""",
    """\
Claim: Marie Curie liked to play the violin.
Thought 1: I need to search Marie Curie and find whether she played the violin.
Action 1: Search[Marie Curie]
Observation 1: Marie Curie (7 November 1867 – 4 July 1934) was a physicist and chemist who was born in Warsaw and \
worked in Paris. She received the Nobel Prize in Physics in 1903 and the Nobel Prize in Chemistry in 1911..
Thought 2: The first sentences do not speak of music. I can look up "violin".
Action 2: Lookup[violin]
Observation 2: No more results.

Thought 3: The page does not mention the violin, so I cannot tell whether the claim is true or false.
Action 3: Finish[NOT ENOUGH INFO]
""",
)
"""Three claims, one for each label."""
