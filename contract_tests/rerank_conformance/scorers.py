"""Scorers that need no key and no network: a query and texts in, one number per text out; they know no HTTP.

Both rate every text by itself: its score is the same alone, in another order, or among other texts. That is why a
word's weight comes from how common it is in English at large, and not from the texts at hand, where the words of the
query are everywhere.
"""

import importlib
import logging
import math
import unicodedata
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cache
from itertools import chain
from operator import add
from pathlib import Path
from typing import Any

Scorer = Callable[[str, Sequence[str]], Sequence[float]]
"""Query and texts to one finite score per text; higher is more relevant."""


@dataclass(frozen=True, slots=True)
class NamedScorer:
    """A scorer with the name that an answer gives as its `model`."""

    name: str
    load: Callable[[], Scorer] = field(repr=False)
    """Gives the function itself, with what it needs read once in a process; ImportError says what to install."""

    def __call__(self, query: str, texts: Sequence[str], /) -> Sequence[float]:
        """One score per text."""
        return self.load()(query, texts)


def scorer(which: str | Scorer | None = None) -> NamedScorer:
    """Return the scorer of that name (`lexical` by default), or the function itself; loaded and ready.

    A function is named by its `name`, if it has one, or else as `local/` and its `__name__`.

    Raises:
        ValueError: No scorer has that name.
        TypeError: It is neither a name nor a function.
        ImportError: A package that the scorer needs is not installed; the message says how to install it.
    """
    if which is None:
        which = "lexical"
    if isinstance(which, str):
        if which not in _NAMED:
            message = (
                f"no scorer is named {which!r}: use {' or '.join(map(repr, _NAMED))}, or pass a function"
            )
            raise ValueError(message)
        which = _NAMED[which]
    if isinstance(which, NamedScorer):
        which.load()
        return which
    if not callable(which):
        message = f"a scorer is a name or a function of (query, texts), not {type(which).__name__}"
        raise TypeError(message)
    function = which
    name = (
        getattr(function, "name", None) or f"local/{getattr(function, '__name__', type(function).__name__)}"
    )
    return NamedScorer(str(name), lambda: function)


# BM25's usual parameters, and the number of words in a usual document
_K1 = 1.2
_B = 0.75
_LENGTH = 100
# how often a word occurs that the word list does not hold; ten times more or less hardly moves nDCG
_RAREST = 1e-7

# bounded, because normalizing a long run of combining marks takes time by the square of its length
_RUN = r"[\p{L}\p{M}\p{N}'\u2019]{1,64}"
# scripts that put no spaces between words, and Hangul, which writes particles onto them
_UNSPACED = r"[\p{scx=Han}\p{scx=Hira}\p{scx=Kana}\p{scx=Hang}\p{scx=Thai}\p{scx=Laoo}\p{scx=Khmr}\p{scx=Mymr}&&[\p{L}\p{M}]]"
# "don't" is one word in the word list, "l'homme" is two
_WORD = rf"{_UNSPACED}+|(?:(?!{_UNSPACED})[\p{{L}}\p{{M}}\p{{N}}])+(?:'(?:[dmst]|ll|re|ve)\b)?"


class _Lexical:
    """BM25 over stemmed words, in [0, 1): how much of the query's weight the text holds."""

    def __init__(self) -> None:
        regex = _installed("regex", "local")
        self._runs: Callable[[str], list[str]] = regex.compile(_RUN, regex.VERSION1).findall
        self._words: Callable[[str], list[str]] = regex.compile(_WORD, regex.VERSION1).findall
        self._unspaced: Callable[[str], object] = regex.compile(_UNSPACED, regex.VERSION1).match
        self._stemmer: Callable[[str, int], Any] = _installed("Stemmer", "local").Stemmer
        english = _installed("spellchecker", "local").SpellChecker(language="en")
        self._frequency: Callable[[str], float] = english.word_usage_frequency

    def __call__(self, query: str, texts: Sequence[str]) -> list[float]:
        # one to a call, for two threads must not use one at once; its own cache is slow where words are many
        stem: Callable[[str], str] = self._stemmer("english", 0).stemWord
        asked = {stem(word): self._weight(word) for run in self._runs(query) for word in self._split(run)}
        whole = sum(asked.values()) or 1.0
        stems = _Memo(lambda run: [stem(word) for word in self._split(run)])

        def score(text: str) -> float:
            words = list(chain.from_iterable(map(stems.__getitem__, self._runs(text))))
            shortness = _K1 * (1 - _B + _B * len(words) / _LENGTH)
            found = Counter(word for word in words if word in asked)
            return sum(asked[word] * (n / (n + shortness)) for word, n in found.items()) / whole

        return [score(text) for text in texts]

    def _weight(self, word: str) -> float:
        """Return the weight of a word: its idf, if documents were of one length."""
        return -math.log(-math.expm1(-_LENGTH * max(self._frequency(word), _RAREST)))

    def _split(self, run: str) -> list[str]:
        if run.isascii() and run.isalnum():  # most runs: one word, with nothing to normalize
            return [run.lower()]
        words: list[str] = []
        for word in self._words(unicodedata.normalize("NFKC", run).casefold().replace("\u2019", "'")):
            if not word.isascii() and self._unspaced(word):
                # as Lucene takes them: each character, and each pair
                words.extend(word)
                words.extend(map(add, word, word[1:]))
            else:
                words.append(word)
        return words


class _Memo(dict[str, list[str]]):
    """A mapping that makes the value of each key by `make` at its first use."""

    def __init__(self, make: Callable[[str], list[str]]) -> None:
        super().__init__()
        self._make = make

    def __missing__(self, key: str) -> list[str]:
        made = self[key] = self._make(key)
        return made


# both weigh the same: among candidates, cosines spread one and a half times as far as lexical scores
_COSINE = 0.4
_LEXICAL = 0.6
_BLOCK = 4096  # tokens whose embeddings are held at once


class _Semantic:
    """The cosine of WordLlama's static embeddings, and the lexical score, which sees the words that those blur."""

    def __init__(self) -> None:
        self._lexical = lexical.load()
        # wordllama calls logging.basicConfig on import, which does nothing where there is a handler
        root, keep = logging.getLogger(), logging.NullHandler()
        root.addHandler(keep)
        try:
            package = _installed("wordllama", "semantic")
        finally:
            root.removeHandler(keep)
        # told no place, it misses the tokenizer that it ships, and turns to the network for it
        shipped = Path(str(package.__file__)).parent
        model = package.WordLlama.load(cache_dir=shipped, disable_download=True)
        model.tokenizer.no_padding()
        self._encode: Callable[..., Any] = model.tokenizer.encode
        self._embedding: Any = model.embedding
        self._zeros: Callable[[int], Any] = _installed("numpy", "semantic").zeros

    def __call__(self, query: str, texts: Sequence[str]) -> list[float]:
        asked = self._direction(query)
        return [
            _COSINE * float((asked * self._direction(text)).sum()) + _LEXICAL * shared
            for text, shared in zip(texts, self._lexical(query, texts), strict=True)
        ]

    def _direction(self, text: str) -> Any:
        """Return the text's embedding at length one, or zero for a text without words.

        WordLlama's own `embed` pads each text to the longest of its batch: a megabyte among 64 would take 26 GB.
        """
        text = text.strip().encode("utf-8", "replace").decode()  # the tokenizer refuses lone surrogates
        tokens = self._encode(text, add_special_tokens=False).ids
        total = self._zeros(self._embedding.shape[1])
        for start in range(0, len(tokens), _BLOCK):
            total += self._embedding.take(tokens[start : start + _BLOCK], axis=0).sum(axis=0)
        return total / (math.sqrt((total * total).sum()) or 1.0)


def _installed(module: str, extra: str) -> Any:
    try:
        return importlib.import_module(module)
    except ImportError as error:
        message = (
            f"this scorer needs {module!r}, which cannot be imported: "
            f"pip install 'openrouter-rerank[{extra}]', or '.[{extra}]' in a clone"
        )
        raise ImportError(message, name=module) from error


lexical = NamedScorer("local/lexical-bm25", cache(_Lexical))
"""BM25 with the word weights of English at large: no model, quick, and the default."""

semantic = NamedScorer("local/semantic-wordllama", cache(_Semantic))
"""Static embeddings that ship in a package, joined with `lexical`: finds what is said in other words."""

_NAMED = {"lexical": lexical, "semantic": semantic}
