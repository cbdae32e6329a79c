"""Measure the local scorers: nDCG@10 on a test collection, beside BM25's order, chance and the best possible.

    python benchmarks/quality.py DIR [--scorer lexical] [--scorer semantic] [--questions 30]

DIR contains `docs.jsonl` and `queries.jsonl` (an `id` and a `text` per line) and `qrels.tsv` (question, document, gain).
"""

import argparse
import json
import math
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

from openrouter_rerank import Reranker

Rank = Callable[[str, list[str]], Sequence[int]]
"""A function of a question and documents that returns the indices, best first; only the first ten count."""

CANDIDATES = 100
CUTOFF = 10
_DISCOUNTS = [1 / math.log2(place + 2) for place in range(CUTOFF)]


@dataclass(frozen=True, slots=True)
class Question:
    """A question, the documents that BM25 found for it, and their gains."""

    text: str
    documents: list[str]
    """The documents in the order of the collection, so that a ranker must reorder them."""
    gains: list[int]
    bm25: list[int]
    """The indices of the documents in the order in which BM25 found them."""
    ideal: float
    """The DCG of all judged documents of the collection, found or not, in the best order."""

    def ndcg(self, order: Sequence[int]) -> float:
        """Return the nDCG@10 of an order of the documents."""
        return _dcg([self.gains[index] for index in order]) / self.ideal


def evaluate(rank: Rank, questions: Sequence[Question]) -> float:
    """Return the mean nDCG@10 of a ranker over the questions."""
    return _mean([question.ndcg(rank(question.text, question.documents)) for question in questions])


def through(reranker: Reranker) -> Rank:
    """Return a ranker that calls the facade."""

    def rank(query: str, documents: list[str]) -> list[int]:
        return reranker.rerank(query, documents, top_n=CUTOFF).indices

    return rank


def found(questions: Sequence[Question]) -> float:
    """Return the mean nDCG@10 of the order in which BM25 found the documents."""
    return _mean([question.ndcg(question.bm25) for question in questions])


def chance(questions: Sequence[Question]) -> float:
    """Return the expected mean nDCG@10 of a random order, computed exactly."""
    return _mean(
        [_dcg([1] * len(question.gains)) * _mean(question.gains) / question.ideal for question in questions]
    )


def oracle(questions: Sequence[Question]) -> float:
    """Return the mean nDCG@10 of the best order of the found documents."""
    return _mean([_dcg(sorted(question.gains, reverse=True)) / question.ideal for question in questions])


def load(directory: Path, limit: int | None = None) -> list[Question]:
    """Return the first `limit` questions with a relevant document, each with the documents that BM25 finds.

    Raises:
        OSError: A file of the collection cannot be read.
        ImportError: bm25s or PyStemmer is not installed.
    """
    texts = _texts(directory / "docs.jsonl")
    judged: defaultdict[str, dict[str, int]] = defaultdict(dict)
    for line in (directory / "qrels.tsv").read_text(encoding="utf-8").splitlines():
        question, document, gain = line.split("\t")
        judged[question][document] = max(0, int(gain))
    chosen = {
        key: text for key, text in _texts(directory / "queries.jsonl").items() if any(judged[key].values())
    }
    chosen = dict(list(chosen.items())[:limit])
    return [
        _question(text, order, texts, judged[key])
        for (key, text), order in zip(chosen.items(), _search(texts, list(chosen.values())), strict=True)
    ]


def _question(text: str, order: list[str], texts: dict[str, str], gains: dict[str, int]) -> Question:
    keys = [key for key in texts if key in set(order)]
    return Question(
        text,
        [texts[key] for key in keys],
        [gains.get(key, 0) for key in keys],
        [keys.index(key) for key in order],
        _dcg(sorted(gains.values(), reverse=True)),
    )


def _search(texts: dict[str, str], questions: list[str]) -> list[list[str]]:
    """Return the ids of the documents that BM25 finds for each question, with weights from the whole collection."""
    bm25s: Any = import_module("bm25s")  # neither package has types
    stemmer: Any = import_module("Stemmer").Stemmer("english")

    def words(these: list[str]) -> Any:
        return bm25s.tokenize(these, stopwords=None, stemmer=stemmer, show_progress=False)

    index = bm25s.BM25()
    index.index(words(list(texts.values())), show_progress=False)
    keys = list(texts)
    places, _ = index.retrieve(words(questions), k=min(CANDIDATES, len(keys)), show_progress=False)
    return [[keys[place] for place in row] for row in places.tolist()]


def _texts(path: Path) -> dict[str, str]:
    lines = path.read_text(encoding="utf-8").splitlines()
    return {row["id"]: row["text"] for row in map(json.loads, lines)}


def _dcg(gains: Sequence[int]) -> float:
    return sum(gain * discount for gain, discount in zip(gains, _DISCOUNTS, strict=False))


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the table; return 0, or 2 if the collection or a package is missing."""
    parser = argparse.ArgumentParser(description="nDCG@10 of the local scorers on a test collection.")
    parser.add_argument("directory", metavar="DIR", type=Path)
    parser.add_argument(
        "--scorer",
        action="append",
        choices=["lexical", "semantic"],
        help="a scorer to measure; repeatable  [default: all]",
    )
    parser.add_argument("--questions", type=int, metavar="N", help="the first N only")
    options = parser.parse_args(arguments)
    try:
        questions = load(options.directory, options.questions)
        rerankers = {name: Reranker.local(name) for name in options.scorer or ["lexical", "semantic"]}
    except OSError as error:
        print(
            f"quality: {error}\nPut a test collection into {options.directory}: docs.jsonl and queries.jsonl (id, "
            "text), qrels.tsv (question, document, gain). The figures in the docs are from Cranfield, which is "
            "among the IR collections of the University of Glasgow, and `cranfield` in the package ir-datasets.",
            file=sys.stderr,
        )
        return 2
    except ImportError as error:
        print(
            f"quality: {error}\nIt needs: pip install bm25s PyStemmer, and the extra `semantic`.",
            file=sys.stderr,
        )
        return 2

    print(f"{len(questions)} questions, the first {CANDIDATES} documents of BM25 for each, nDCG@{CUTOFF}\n")
    print(f"{'oracle':26}{oracle(questions):.3f}")
    for name, reranker in rerankers.items():
        start = time.process_time()
        quality = evaluate(through(reranker), questions)
        spent = (time.process_time() - start) / len(questions)
        print(f"{'local, ' + name:26}{quality:.3f}   {1000 * spent:.0f} ms of CPU a question")
    print(f"{'order of BM25':26}{found(questions):.3f}")
    print(f"{'random':26}{chance(questions):.3f}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
