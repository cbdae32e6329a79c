"""Facts about the local scorers and the measure of their quality; the measure goes through the facade."""

import os
import subprocess
import sys
import tracemalloc
from functools import partial
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from rerank_conformance.scorers import NamedScorer, lexical, scorer, semantic

QUALITY = Path(__file__).parents[1] / "benchmarks/quality.py"
CRANFIELD = Path(__file__).parents[2] / "shared/data/cranfield"

TEXTS = ["Flow over the wings of a wing", "A wing in a flow", "the of a", ""]

lone_surrogates_too = st.characters(exclude_categories=())
texts_of_any_kind = st.one_of(
    st.text(lone_surrogates_too, max_size=60),
    st.lists(
        st.sampled_from(
            [
                "the wings",
                "Flow",
                "l'homme",
                "don\u2019t",
                "café",
                "東京タワー",
                "コーヒー",
                "ไทย",
                "한국어",
                "हिन्दी",
                "🎉",
                "\0",
                "3.5",
            ]
        ),
        max_size=12,
    ).map(" ".join),
)

both = pytest.mark.parametrize("score", [lexical, semantic], ids=["lexical", "semantic"])


def python(
    code: str, *arguments: str, seed: str = "0", timeout: float = 120
) -> subprocess.CompletedProcess[str]:
    """Run code in a fresh interpreter that sees the same packages, and return its output."""
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(filter(None, sys.path)),
        "PYTHONHASHSEED": seed,
    }
    return subprocess.run(
        [sys.executable, "-c", code, *arguments],
        env=environment,
        timeout=timeout,
        check=False,
        capture_output=True,
        text=True,
    )


# every text by itself


@both
@settings(deadline=None)
@given(query=texts_of_any_kind, texts=st.lists(texts_of_any_kind, max_size=5))
@example(query="", texts=["", " ", "word"])
@example(query="\ud800", texts=["\ud800", "a\udfffb"])
def test_any_text_gets_a_score_of_its_own(score: NamedScorer, query: str, texts: list[str]) -> None:
    """Each text gets one finite float, to the last bit the same that it gets when it is the only one."""
    scores = score(query, texts)
    assert all(type(each) is float for each in scores)
    assert all(-1 <= each <= 1 for each in scores)
    assert list(scores) == [score(query, [text])[0] for text in texts]


@both
def test_scores_are_the_same_in_every_process(score: NamedScorer) -> None:
    """The scores do not depend on the seed of Python's hashes."""
    code = (
        "from rerank_conformance.scorers import scorer\n"
        f"print(scorer({score.name.split('/')[1].split('-')[0]!r})('the flow over a wing', {TEXTS!r}))"
    )
    other = python(code, seed="1")
    assert other.stdout.strip() == str(score("the flow over a wing", TEXTS)), other.stderr


@pytest.mark.parametrize(
    ("score", "text"),
    [
        (lexical, "word " * 200_000),
        (lexical, "x" * 1_000_000),
        (lexical, "漢字" * 500_000),
        (semantic, "word " * 200_000),
        (semantic, "\0" * 1_000_000),
    ],
    ids=[
        "lexical-words",
        "lexical-one word",
        "lexical-no spaces",
        "semantic-words",
        "semantic-control characters",
    ],
)
def test_a_megabyte_of_text_takes_few_megabytes(score: NamedScorer, text: str) -> None:
    """A text of a million characters among 64 is scored in bounded memory, and the others as ever."""
    score.load()
    tracemalloc.start()
    try:
        scores = score("a short word", [*["a word"] * 63, text])
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 64 * 1024 * 1024
    assert scores[0] == score("a short word", ["a word"])[0]


def test_a_megabyte_of_combining_marks_does_not_hang() -> None:
    """Normalizing takes time by the square of a run of marks, so runs are cut: without that this takes a quarter hour."""
    code = "from rerank_conformance.scorers import lexical; print(lexical('e', ['e' + '\\u0315\\u0300' * 500_000]))"
    assert python(code, timeout=60).stdout.startswith("[")


# what is more relevant


@both
def test_the_answer_comes_before_what_only_shares_common_words(score: NamedScorer) -> None:
    """The rare words of the query decide, though common ones are more."""
    good, bad = score(
        "what is the capital of france",
        ["Paris, France's capital", "What is the matter with the end of the story?"],
    )
    assert good > bad


@pytest.mark.parametrize(
    ("query", "text"),
    [
        ("constructing aeroelastic models", "a model is constructed"),
        ("CAFE\u0301", "café"),
        ("\uff21\uff22\uff23\uff11\uff12", "abc12"),
        ("don\u2019t", "don't"),
        ("l'homme", "un homme"),
        ("猫", "黒猫が好き"),
        ("日本の首都", "東京は日本の首都です。"),
        ("コーヒー", "濃いコーヒーを飲む"),
        ("ประเทศ", "ในประเทศไทย"),
        ("한국", "한국에서"),
        ("हिन्दी", "वह हिन्दी बोलता है"),
        ("snake", "snake_case"),
    ],
)
def test_words_are_found_in_any_script_and_form(query: str, text: str) -> None:
    """A word is found in another form, another normal form, in other quotes, or where no spaces part words."""
    assert lexical(query, [text, "zzz"])[0] > 0
    assert lexical(query, ["zzz"])[0] == 0


def test_a_lexical_score_is_the_share_of_the_query_that_is_found() -> None:
    """A lexical score lies from 0, for a text without any word of the query, up to less than 1."""
    none, part, whole, over_and_over = lexical(
        "wing flow", ["heat", "wing", "wing flow", "wing flow " * 1000]
    )
    assert none == 0 < part < whole < over_and_over < 1


def test_other_marks_of_a_script_do_not_match() -> None:
    """A vowel sign is part of its word: two words of Hindi that share only consonants are two words."""
    assert lexical("दिन", ["दान"]) == [0]


def test_the_semantic_scorer_finds_what_is_said_in_other_words() -> None:
    """Without a shared word lexical scores are equal, and semantic still puts the related text first."""
    texts = ["The physician treated her patient.", "Bananas grow in warm countries."]
    assert lexical("doctor in hospital", texts[:1]) == [0]
    related, other = semantic("doctor hospital", texts)
    assert related > other + 0.05


def test_quality_is_far_above_chance_on_cranfield() -> None:
    """Over the first questions of Cranfield both scorers reach four times the nDCG of chance, and the oracle tops them."""
    pytest.importorskip("bm25s", reason="bm25s, which finds the candidates, is not installed")
    if not CRANFIELD.is_dir():
        pytest.skip(f"the Cranfield collection is not in {CRANFIELD}")
    figures = measured(CRANFIELD, "--questions", "30")
    for name in ("local, lexical", "local, semantic"):
        assert 4 * figures["random"] < figures[name] < figures["oracle"]


def test_the_measure_is_linear_gain_against_all_that_is_judged(tmp_path: Path) -> None:
    """The benchmark's figures are those that three documents and one question give by hand."""
    pytest.importorskip("bm25s", reason="bm25s, which finds the candidates, is not installed")
    documents = {"a": "a wing in a flow", "b": "the wings", "c": "heat"}
    (tmp_path / "docs.jsonl").write_text(
        "".join(f'{{"id": "{key}", "text": "{text}"}}\n' for key, text in documents.items())
    )
    (tmp_path / "queries.jsonl").write_text(
        '{"id": "1", "text": "wing flow"}\n{"id": "2", "text": "nothing judged"}\n'
    )
    # best: 3, 2 = 3 + 2 / log2(3) = 4.262; document x is judged, and in no list
    (tmp_path / "qrels.tsv").write_text("1\tb\t2\n1\tx\t3\n1\tc\t-1\n2\ta\t0\n")
    figures = measured(tmp_path, "--scorer", "lexical")
    # a, b, c: 2 / log2(3) = 1.262
    assert figures["local, lexical"] == figures["order of BM25"] == pytest.approx(0.296, abs=0.0005)
    # b first: 2
    assert figures["oracle"] == pytest.approx(0.469, abs=0.0005)
    # 2 / 3 at each place: 2 / 3 * (1 + 1 / log2(3) + 1 / log2(4))
    assert figures["random"] == pytest.approx(0.333, abs=0.0005)


def measured(*arguments: str | Path) -> dict[str, float]:
    """Return the table that the benchmark prints."""
    ran = python(f"import runpy; runpy.run_path({str(QUALITY)!r}, run_name='__main__')", *map(str, arguments))
    assert ran.returncode == 0, ran.stderr
    lines = ran.stdout.splitlines()[2:]
    return {line[:26].strip(): float(line[26:].split()[0]) for line in lines}


def test_the_benchmark_says_what_it_lacks(tmp_path: Path) -> None:
    """Without a collection the benchmark ends with 2 and says where to put it."""
    pytest.importorskip("bm25s", reason="bm25s, which finds the candidates, is not installed")
    ran = python(f"import runpy; runpy.run_path({str(QUALITY)!r}, run_name='__main__')", str(tmp_path))
    assert ran.returncode == 2
    assert f"Put a test collection into {tmp_path}" in ran.stderr
    assert "Traceback" not in ran.stderr


# names


def test_scorers_are_found_by_name() -> None:
    """No name is `lexical`; a scorer of ours goes through as it is."""
    assert scorer() is scorer("lexical") is scorer(lexical) is lexical
    assert scorer("semantic") is semantic


def test_an_unknown_name_names_the_known() -> None:
    """A name that no scorer has is refused with those that there are."""
    with pytest.raises(ValueError, match=r"'bm42'.*'lexical' or 'semantic'"):
        scorer("bm42")


def test_what_is_no_function_is_refused() -> None:
    """A scorer that is neither a name nor callable is a TypeError at once, not at the first request."""
    with pytest.raises(TypeError, match="not int"):
        scorer(7)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]  # the point


def longest(query: str, texts: list[str]) -> list[float]:
    """Score as a user's function does."""
    return [float(len(text)) for text in texts]


class Named:
    """A scorer with a name of its own."""

    name = "my/scorer"
    __call__ = staticmethod(longest)


@pytest.mark.parametrize(
    ("function", "name"),
    [(longest, "local/longest"), (Named(), "my/scorer"), (partial(longest), "local/partial")],
    ids=["function", "name", "neither"],
)
def test_a_function_is_a_scorer(function: object, name: str) -> None:
    """Any function is taken, under its own `name`, or under `local/` and what Python calls it."""
    taken = scorer(function)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]  # a list of functions of many types
    assert taken.name == name
    assert taken("q", ["a", "bcd"]) == [1, 3]


# what is not installed, and what must not happen


@pytest.mark.parametrize(
    ("name", "module", "extra"),
    [
        ("lexical", "regex", "local"),
        ("lexical", "Stemmer", "local"),
        ("lexical", "spellchecker", "local"),
        ("semantic", "spellchecker", "local"),
        ("semantic", "wordllama", "semantic"),
    ],
)
def test_a_missing_package_is_told_with_its_extra(name: str, module: str, extra: str) -> None:
    """`scorer` itself, not the first request, says which extra brings the package that is missing."""
    code = (
        f"import sys; sys.modules[{module!r}] = None\n"
        "from rerank_conformance.scorers import scorer\n"
        f"try: scorer({name!r})\n"
        "except ImportError as error: print(error)"
    )
    ran = python(code)
    assert repr(module) in ran.stdout, ran.stderr
    assert f"pip install 'openrouter-rerank[{extra}]'" in ran.stdout


OFFLINE = """
import os, sys, tempfile
os.environ["HOME"] = tempfile.mkdtemp()  # no cache of an earlier download

def watch(event, arguments):
    if event in ("socket.connect", "socket.getaddrinfo", "socket.gethostbyname", "socket.sendto"):
        print("reached for the network:", event)
        raise OSError("there is no network")

sys.addaudithook(watch)
"""


def test_the_semantic_scorer_never_reaches_for_the_network() -> None:
    """The weights that ship in the package are found without a network and without a cache."""
    ran = python(
        OFFLINE + "from rerank_conformance.scorers import semantic; print(semantic('car', ['auto']))"
    )
    assert "network" not in ran.stdout
    assert ran.stdout.startswith("[0."), ran.stderr


def test_wordllama_by_itself_does_reach_for_the_network() -> None:
    """The watch of the test above sees what wordllama does where weights are missing and we did not forbid it."""
    ran = python(OFFLINE + "import wordllama; wordllama.WordLlama.load(dim=64)")
    assert "reached for the network" in ran.stdout, ran.stderr


def test_logging_stays_as_the_user_set_it() -> None:
    """Importing wordllama through us leaves the logging of the process unchanged."""
    code = (
        "import logging\n"
        "from rerank_conformance.scorers import scorer\n"
        "scorer('semantic')\n"
        "print(logging.getLogger().handlers, logging.getLogger().level)"
    )
    assert python(code).stdout.split() == ["[]", "30"]


@both
def test_what_a_scorer_needs_is_read_once(score: NamedScorer) -> None:
    """Word list and weights are the process's, not each call's."""
    assert score.load() is score.load()


def test_importing_the_scorers_loads_nothing_heavy() -> None:
    """The dependencies of a scorer are imported when it is first used."""
    code = (
        "import sys, rerank_conformance.scorers as s\n"
        "heavy = {'regex', 'Stemmer', 'spellchecker', 'numpy', 'wordllama', 'tokenizers'}\n"
        "print(sorted(heavy & set(sys.modules))); s.scorer(); print(sorted(heavy & set(sys.modules)))"
    )
    assert python(code).stdout.split("\n")[:2] == ["[]", "['Stemmer', 'regex', 'spellchecker']"]
