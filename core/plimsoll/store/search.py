"""Finding what was learned by a few words: spelt nearly right, or meaning nearly the same.

In: a query, and a text a document. Out: documents by score, with the words that found them. Three scores
from 0 to 1, of which the best counts: exact words (TF-IDF cosine), spelling (each word's best share of
letter trigrams, as PostgreSQL's pg_trgm does it, or of letters left alone by at most two edits), and
meaning (latent semantic analysis, Deerwester et al. 1990: the TF-IDF matrix in at most 64 dimensions, after
words of one meaning in this field were joined). No model is fetched, and the answer is the same everywhere.
"""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]

DIMENSIONS = 64
MOST_DOCUMENTS = 10_000
MOST_EDITS = 2  # letters by which a word may be misspelt
LEAST_LETTERS = 4  # shorter words are all near each other
MOST_WORDS = 1024  # of the latent space: the commonest
LEAST_SCORE = 0.2
FUZZY_SHARE, MEANING_SHARE = 0.9, 0.8  # of a full score: exact words come first
_WORD = re.compile(r"[a-z0-9]+")
_MEANINGS = (
    ("oom", "oomkill", "oomkilled", "killed", "kill", "kills", "crash", "died"),
    ("leak", "leaks", "leaking", "growth", "grows", "growing", "climbs", "rising"),
    ("diurnal", "daily", "day", "days", "nightly", "night"),
    ("weekly", "week", "weekend", "weekends"),
    ("burst", "bursty", "bursts", "spike", "spikes", "spiky", "peaky"),
    ("flat", "steady", "constant", "stable", "quiet"),
    ("idle", "unused", "sleeping", "empty"),
    ("sawtooth", "gc", "garbage", "restart", "restarts", "restarting"),
    ("startup", "start", "boot", "init", "warmup"),
    ("batch", "job", "cron", "cronjob"),
    ("memory", "ram", "usage"),
    ("limit", "limits", "ceiling", "cap"),
    ("slack", "waste", "wasted", "unused"),
    ("cache", "caches", "redis", "memcached"),
    ("database", "db", "postgres", "postgresql", "mysql"),
)
_JOINED = {word: group[0] for group in _MEANINGS for word in group}


@dataclass(frozen=True, slots=True)
class Hit:
    """One document that was found."""

    name: str
    score: float  # 0 to 1
    how: str  # words, spelling or meaning


def search(query: str, documents: Mapping[str, str], most: int = 10) -> list[Hit]:
    """The best of the documents, best first; none below `LEAST_SCORE`."""
    names = list(documents)[:MOST_DOCUMENTS]
    asked = words_of(query)
    if not names or not asked:
        return []
    texts = [words_of(f"{name} {documents[name]}") for name in names]
    scores = {
        "words": _exact(asked, texts),
        "spelling": FUZZY_SHARE * _spelling(asked, texts),
        "meaning": MEANING_SHARE * _meaning(asked, texts),
    }
    table = np.stack(list(scores.values()))
    best, how = table.max(axis=0), table.argmax(axis=0)
    order = sorted(range(len(names)), key=lambda place: (-best[place], names[place]))
    labels = list(scores)
    return [
        Hit(names[place], round(float(best[place]), 4), labels[how[place]])
        for place in order[:most]
        if best[place] >= LEAST_SCORE
    ]


def words_of(text: str) -> list[str]:
    """Its words in lower case; `demo/Deployment/web-1` is four."""
    return _WORD.findall(text.lower())


def _exact(asked: Sequence[str], texts: Sequence[Sequence[str]]) -> FloatArray:
    """The share of the query's words, by their rarity, that a text has as they are."""
    rarity = _rarity(texts)
    whole = sum(rarity.get(word, rarity[""]) for word in set(asked))
    found = [sum(rarity[word] for word in set(asked) & set(text)) for text in texts]
    return np.array(found) / whole


def _spelling(asked: Sequence[str], texts: Sequence[Sequence[str]]) -> FloatArray:
    """The mean over the query's words of the best likeness to any word of a text."""
    vocabulary = sorted({word for text in texts for word in text})
    trigrams = [_trigrams(word) for word in vocabulary]
    scores = np.zeros(len(texts))
    for word in asked:
        wanted = _trigrams(word)
        pairs = zip(vocabulary, trigrams, strict=True)
        likeness = {other: max(_likeness(wanted, each), _nearness(word, other)) for other, each in pairs}
        scores += [max((likeness[other] for other in text), default=0.0) for text in texts]
    return scores / len(asked)


def _meaning(asked: Sequence[str], texts: Sequence[Sequence[str]]) -> FloatArray:
    """Cosines in the latent space of the texts, of the words that more than one text or the query has."""
    joined = [[_JOINED.get(word, word) for word in text] for text in texts]
    wanted = [_JOINED.get(word, word) for word in asked]
    rarity = _rarity(joined)
    seen = Counter(word for text in joined for word in set(text))
    common = [word for word, count in seen.most_common() if count > 1 or word in wanted]
    columns = {word: place for place, word in enumerate(sorted(common[:MOST_WORDS]))}
    matrix = np.stack([_weighed(text, columns, rarity) for text in joined])
    query = _weighed(wanted, columns, rarity)
    if not query.any():
        return np.zeros(len(texts))
    _, vectors = np.linalg.eigh(matrix.T @ matrix)  # ascending: the last are the texts' main directions
    space = vectors[:, -DIMENSIONS:]
    placed, sought = matrix @ space, query @ space
    lengths = np.linalg.norm(placed, axis=1) * np.linalg.norm(sought)
    cosines: FloatArray = placed @ sought / np.where(lengths > 1e-12, lengths, np.inf)
    return np.clip(cosines, 0.0, 1.0)


def _weighed(text: Sequence[str], columns: Mapping[str, int], rarity: Mapping[str, float]) -> FloatArray:
    row = np.zeros(len(columns))
    for word, count in Counter(text).items():
        if word in columns:
            row[columns[word]] = (1 + np.log(count)) * rarity[word]
    length = float(np.linalg.norm(row))
    return np.asarray(row / length) if length else row


def _rarity(texts: Sequence[Sequence[str]]) -> dict[str, float]:
    """Inverse document frequency; "" is a word that no text has."""
    seen = Counter(word for text in texts for word in set(text))
    count = len(texts)
    return {"": float(np.log(1 + count))} | {
        word: float(np.log(1 + count / each)) for word, each in seen.items()
    }


def _trigrams(word: str) -> frozenset[str]:
    padded = f"  {word} "
    return frozenset(padded[place : place + 3] for place in range(len(padded) - 2))


def _likeness(one: frozenset[str], other: frozenset[str]) -> float:
    return len(one & other) / len(one | other)


def _nearness(one: str, other: str) -> float:
    """1 less the share of letters to be changed, swapped, put in or left out; 0 beyond `MOST_EDITS`."""
    longest = max(len(one), len(other))
    if abs(len(one) - len(other)) > MOST_EDITS or longest < LEAST_LETTERS or not set(one) & set(other):
        return 0.0
    before: list[int] = []
    row = list(range(len(other) + 1))
    for place, letter in enumerate(one, 1):
        older, before, row = before, row, [place]
        for column, wanted in enumerate(other, 1):
            cost = min(row[-1] + 1, before[column] + 1, before[column - 1] + (letter != wanted))
            if older and column > 1 and letter == other[column - 2] and one[place - 2] == wanted:
                cost = min(cost, older[column - 2] + 1)
            row.append(cost)
    return 1.0 - row[-1] / longest if row[-1] <= MOST_EDITS else 0.0
