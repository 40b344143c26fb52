"""How well a retriever finds the passages that are known to answer questions."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from ..agents.intervals import Interval, bootstrap_interval
from ..envs.sources import read_rows
from ..tools.errors import InputError
from ..tools.retrievers.base import Retriever
from ..tools.retrievers.corpus import Passage
from ..tools.retrievers.measures import ndcg_at, recall_at, reciprocal_rank

NDCG_DEPTH = 10

QUESTION_KEYS = ("question", "query", "text")
QUERY_ID_KEYS = ("query", "query_id", "query-id", "qid")
PASSAGE_ID_KEYS = ("doc", "doc_id", "corpus-id", "docid", "pid", "passage_id")
GRADE_KEYS = ("relevance", "score", "grade", "label")


@dataclass(frozen=True)
class JudgedQuestion:
    """A question with the passages that are known to fit.

    Attributes:
        id: Its id.
        text: What is searched for.
        grades: Grade of each passage that fits, by id; all positive, at least one.
    """

    id: str
    text: str
    grades: Mapping[str, float]


@dataclass(frozen=True)
class Measure:
    """A mean over questions.

    Attributes:
        mean: The mean.
        interval: 95 % bootstrap interval.
    """

    mean: float
    interval: Interval


@dataclass(frozen=True)
class RankingQuality:
    """What a retriever reached on a set of questions.

    Attributes:
        questions: How many.
        depth: How many passages were asked for; `mrr` sees no further.
        measures: `recall@k`, `mrr` and `ndcg@10`.
    """

    questions: int
    depth: int
    measures: Mapping[str, Measure]

    def as_json(self) -> dict[str, Any]:
        """For a file."""
        return {
            "questions": self.questions,
            "depth": self.depth,
            **{name: measure.mean for name, measure in self.measures.items()},
            "interval": {
                name: [measure.interval.low, measure.interval.high] for name, measure in self.measures.items()
            },
        }


def ranking_quality(
    retriever: Retriever,
    questions: Sequence[JudgedQuestion],
    ks: Sequence[int] = (5, 10, 20),
    *,
    batch: int = 64,
    progress: Callable[[int, int], None] | None = None,
) -> RankingQuality:
    """Searches for every question and measures where its passages stand.

    Args:
        retriever: What is measured.
        questions: At least one.
        ks: For which k to give recall.
        batch: Questions searched together.
        progress: Is told how many of how many questions are done.

    Raises:
        InputError: If there is no question, or a k is below 1.
    """
    if not questions:
        raise InputError("there is no question with passages to find")
    if not ks or min(ks) < 1:
        raise InputError(f"recall is measured at k of at least 1, got {list(ks)}")
    depth = max(*ks, NDCG_DEPTH)
    values: dict[str, list[float]] = {name: [] for name in (*(f"recall@{k}" for k in ks), "mrr", f"ndcg@{NDCG_DEPTH}")}
    for start in range(0, len(questions), batch):
        chosen = questions[start : start + batch]
        found = retriever.search_batch([question.text for question in chosen], depth)
        for question, hits in zip(chosen, found, strict=True):
            ranking = [hit.passage.id for hit in hits]
            for k in ks:
                values[f"recall@{k}"].append(recall_at(ranking, question.grades, k))
            values["mrr"].append(reciprocal_rank(ranking, question.grades))
            values[f"ndcg@{NDCG_DEPTH}"].append(ndcg_at(ranking, question.grades, NDCG_DEPTH))
        if progress is not None:
            progress(min(start + batch, len(questions)), len(questions))
    measures = {name: Measure(sum(each) / len(each), bootstrap_interval(each)) for name, each in values.items()}
    return RankingQuality(len(questions), depth, measures)


def read_judged_questions(
    path: str | Path,
    qrels: str | Path | None = None,
    *,
    limit: int | None = None,
    skip_unjudged: bool = False,
) -> list[JudgedQuestion]:
    """Reads questions with their passages.

    Without `qrels` each row holds its question and `supporting_pids`, the ids of its passages, which all have grade 1.
    With `qrels`, rows hold `id` and question, and the other file has a row of query, passage and grade for each
    judgement: JSON lines or Parquet (`query`, `doc`, `relevance`, or BEIR's names), TREC's four columns, or BEIR's
    three columns below a head. Grades at or below 0 say that a passage does not fit.

    Args:
        path: The questions: `.jsonl[.gz|.zst]` or `.parquet`.
        qrels: The judgements.
        limit: Only the first questions.
        skip_unjudged: Leaves out questions without any passage that fits, instead of raising.

    Raises:
        InputError: If a file cannot be read, a row lacks a field, a judgement belongs to no question, or a question has
            no passage that fits.
    """
    grades = None if qrels is None else _read_qrels(Path(qrels))
    questions, unused = [], set(grades or ())
    for number, row in enumerate(islice(read_rows(path), limit), 1):
        place = f"{path}, row {number}"
        identifier = str(row.get("id", number))
        unused.discard(identifier)
        fitting = _gold(row, place) if grades is None else grades.get(identifier, {})
        fitting = {passage: grade for passage, grade in fitting.items() if grade > 0}
        if fitting:
            questions.append(JudgedQuestion(identifier, str(_field(row, QUESTION_KEYS, place)), fitting))
        elif not skip_unjudged:
            where = "supporting_pids" if qrels is None else qrels
            raise InputError(
                f"{place}: no passage fits question {identifier!r} by {where}; add its passages, or leave such "
                "questions out with --skip-unjudged"
            )
    if unused and limit is None:
        raise InputError(f"{qrels}: judgements for query {min(unused)!r}, which {path} does not have")
    return questions


def check_gold(questions: Iterable[JudgedQuestion], corpus: Iterable[Passage], name: str) -> None:
    """Makes sure that every passage to be found is there.

    Raises:
        InputError: If the corpus lacks one; a recall would be low for no fault of the retriever.
    """
    known = {passage.id for passage in corpus}
    missing = [(question.id, passage) for question in questions for passage in question.grades if passage not in known]
    if missing:
        question, passage = missing[0]
        raise InputError(
            f"{name}: {len(missing)} passages to be found are not in the corpus, the first is {passage!r} of question "
            f"{question!r}; search the corpus that the questions were made for"
        )


def _gold(row: Mapping[str, Any], place: str) -> dict[str, float]:
    if "supporting_pids" not in row:
        raise InputError(
            f"{place}: no field 'supporting_pids' with the ids of the passages that fit; give such rows, or --qrels"
        )
    return {str(passage): 1.0 for passage in row["supporting_pids"]}


def _field(row: Mapping[str, Any], keys: Sequence[str], place: str) -> Any:
    for key in keys:
        if key in row:
            return row[key]
    raise InputError(f"{place}: none of the fields {', '.join(keys)}; the row has {', '.join(row)}")


def _read_qrels(path: Path) -> dict[str, dict[str, float]]:
    """Grades by query and passage."""
    grades: dict[str, dict[str, float]] = {}
    for place, query, passage, grade in _judgements(path):
        if passage in grades.setdefault(query, {}):
            raise InputError(f"{place}: passage {passage!r} is judged twice for query {query!r}")
        try:
            grades[query][passage] = float(grade)
        except (TypeError, ValueError):
            raise InputError(f"{place}: the grade must be a number, got {grade!r}") from None
    if not grades:
        raise InputError(f"{path}: no judgements")
    return grades


def _judgements(path: Path) -> Iterable[tuple[str, str, str, Any]]:
    if path.suffix not in (".tsv", ".txt", ".qrels", ".qrel"):
        for number, row in enumerate(read_rows(path), 1):
            place = f"{path}, row {number}"
            query, passage = _field(row, QUERY_ID_KEYS, place), _field(row, PASSAGE_ID_KEYS, place)
            yield place, str(query), str(passage), _field(row, GRADE_KEYS, place)
        return
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: cannot be read ({error})") from None
    for number, line in enumerate(lines, 1):
        columns = line.split()
        place = f"{path}, line {number}"
        if not columns or (number == 1 and "corpus-id" in columns):
            continue
        if len(columns) not in (3, 4):
            raise InputError(f"{place}: {len(columns)} columns; expected TREC's four or BEIR's three")
        yield place, columns[0], columns[-2], columns[-1]
