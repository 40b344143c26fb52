"""A person at the keyboard, or a pipe in the person's place."""

SEARCH = "toolgym/SearchQA-v0"
ORACLE = "/oracle\n/accept\n"


def test_piped_episode_to_its_end(toolgym):
    played = toolgym("play", SEARCH, "--seed", "1", "--json", stdin=ORACLE * 3).json
    assert (played["score"], played["stop_reason"], len(played["turns"])) == (1.0, "answer", 3)
    assert played["turns"][0]["calls"][0]["status"] == "ok"
    assert "<information>" in played["turns"][0]["observation"]


def test_actions_end_at_an_empty_line_or_a_stop_string(toolgym):
    stdin = "<think>\nwhere?\n</think>\n<search> x </search>\nno action at all\n\n"
    played = toolgym("play", SEARCH, "--seed", "1", "--json", stdin=stdin).json
    assert played["turns"][0]["action"] == "<think>\nwhere?\n</think>\n<search> x </search>"
    assert played["turns"][1]["action"] == "no action at all"
    assert played["turns"][1]["faults"] == ["no_action"]


def test_what_a_person_sees(toolgym):
    ended = toolgym("play", SEARCH, "--seed", "1", stdin="/help\n/prompt\n/accept\n/nonsense\n" + ORACLE * 3)
    for text in (
        "task world",
        "/quit",
        "nothing to accept",
        "no command /nonsense",
        "observation",
        "score   1.0",
        "gold",
    ):
        assert text in ended.stdout


def test_leaving_early(toolgym):
    played = toolgym("play", SEARCH, "--seed", "1", "--json", stdin=ORACLE + "/quit\n" + ORACLE).json
    assert (played["stop_reason"], played["score"], len(played["turns"])) == (None, None, 1)


def test_same_seed_same_task(toolgym):
    first, second = (toolgym("play", SEARCH, "--seed", "5", "--json", stdin="").json for _ in range(2))
    assert first["task_id"] == second["task_id"]
