import gzip
import json
from pathlib import Path

import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from toolgym.tools import InputError
from toolgym.tools.retrievers import Corpus, Passage

ROWS = [{"id": f"p{n}", "title": f"Title {n}", "text": f"Text {n}, ünïcode."} for n in range(20)]


def write(path: Path, lines: list[str]) -> Path:
    data = "".join(line + "\n" for line in lines).encode()
    if path.suffix == ".gz":
        data = gzip.compress(data)
    elif path.suffix == ".zst":
        half = len(data) // 2
        compress = zstandard.ZstdCompressor().compress
        data = compress(data[:half]) + compress(data[half:])  # two frames, as pzstd writes them
    path.write_bytes(data)
    return path


@pytest.mark.parametrize("suffix", ["", ".gz", ".zst"])
def test_reads_json_lines(tmp_path: Path, suffix: str) -> None:
    path = write(tmp_path / f"c.jsonl{suffix}", [json.dumps(row) for row in ROWS])
    corpus = Corpus.from_jsonl(path)
    assert [(p.id, p.title, p.text) for p in corpus] == [tuple(row.values()) for row in ROWS]
    assert corpus.get("p7") is corpus[7] and len(corpus) == 20
    assert corpus.fingerprint == Corpus(Passage(**row) for row in ROWS).fingerprint


def test_contents_numbers_and_missing_fields(tmp_path: Path) -> None:
    lines = [
        '{"id": 5, "contents": "\\"A title\\"\\nline one\\nline two"}',
        "",
        '{"text": "alone"}',
        '{"contents": "x"}',
    ]
    corpus = Corpus.from_jsonl(write(tmp_path / "c.jsonl", lines))
    assert list(corpus) == [
        Passage("5", "A title", "line one\nline two"),
        Passage("3", "", "alone"),
        Passage("4", "", "x"),
    ]


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ('{"id": "x", "text": ', "not valid JSON"),
        ("[" * 100_000, "not valid JSON"),
        ('["x"]', "expected a JSON object, got list"),
        ('{"id": "x", "title": "t"}', "no text; expected a field 'text'"),
        ('{"id": "x", "text": "  "}', "no text"),
        ('{"id": "x", "text": 3}', "no text"),
        ('{"id": "x", "title": 3, "text": "t"}', "the title must be a text, got int"),
        ('{"id": 1.5, "text": "t"}', "the id must be a text or a whole number, got 1.5"),
        ('{"id": "p3", "text": "t"}', "the id 'p3' is already on line 4"),
    ],
)
@pytest.mark.parametrize("suffix", ["", ".gz", ".zst"])
def test_a_bad_line_is_named(tmp_path: Path, line: str, words: str, suffix: str) -> None:
    lines = [json.dumps(row) for row in ROWS]
    lines[16] = line
    path = write(tmp_path / f"c.jsonl{suffix}", lines)
    with pytest.raises(InputError) as caught:
        Corpus.from_jsonl(path)
    message = str(caught.value)
    assert message.startswith(f"{path}, line 17: ") and words in message and "\n" not in message


def test_bytes_that_are_no_utf8_are_named(tmp_path: Path) -> None:
    path = tmp_path / "c.jsonl"
    path.write_bytes(b'{"text": "a"}\n' * 16 + b'{"text": "\xff"}\n')
    with pytest.raises(InputError, match="line 17: not UTF-8"):
        Corpus.from_jsonl(path)


@pytest.mark.parametrize("suffix", [".gz", ".zst"])
def test_damaged_archives_are_input_errors(tmp_path: Path, suffix: str) -> None:
    path = write(tmp_path / f"c.jsonl{suffix}", [json.dumps(row) for row in ROWS])
    path.write_bytes(path.read_bytes()[:4] + b"garbage" + path.read_bytes()[11:])
    with pytest.raises(InputError, match="damaged"):
        Corpus.from_jsonl(path)


def test_a_truncated_gzip_is_an_input_error(tmp_path: Path) -> None:
    path = write(tmp_path / "c.jsonl.gz", [json.dumps(row) for row in ROWS])
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(InputError, match="damaged"):
        Corpus.from_jsonl(path)


def test_missing_file_folder_and_empty(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="does not exist"):
        Corpus.from_jsonl(tmp_path / "none.jsonl")
    with pytest.raises(InputError, match="is a folder"):
        Corpus.from_jsonl(tmp_path)
    with pytest.raises(InputError, match="has no passages"):
        Corpus.from_jsonl(write(tmp_path / "c.jsonl", ["", "  "]))
    with pytest.raises(InputError, match="passages 1 and 3 share the id 'a'"):
        Corpus([Passage("a", "", "x"), Passage("b", "", "x"), Passage("a", "", "y")])


TEXT = st.text(st.characters(exclude_categories=()), max_size=3)
PASSAGES = st.lists(st.builds(Passage, TEXT, TEXT, TEXT), min_size=1, max_size=4, unique_by=lambda p: p.id)


@given(PASSAGES, PASSAGES)
def test_fingerprints_are_equal_exactly_when_the_passages_are(left: list[Passage], right: list[Passage]) -> None:
    assert (Corpus(left).fingerprint == Corpus(right).fingerprint) == (left == right)


def test_the_fingerprint_sees_where_a_field_ends() -> None:
    assert Corpus([Passage("1", "ab", "c")]).fingerprint != Corpus([Passage("1", "a", "bc")]).fingerprint
