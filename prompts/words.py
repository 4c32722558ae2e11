"""Words: how a question's and a schema's are cut, stemmed and compared.

Schema linking and the index of values read both through the same glasses, so that "singers" meets
`Singer`, "home town" meets `HomeTown` and "heaviest" meets `weight`.
"""

import re
import unicodedata
from functools import lru_cache
from importlib.resources import files

import Stemmer

READ = 4_000  # characters of a text; no question is longer

_stemmer = Stemmer.Stemmer("english")

# Words that say nothing about what is asked for. Those that are common in names too, such as "name", are not here.
STOP_WORDS = frozenset(
    """
    a about above after all also an and any are as at be been before below between but by can did do does each every
    find for from get give had has have how i if in into is it its list many me more most much not of on one only or
    other our out over please return show tell than that the their them then there these they this those to under us
    want was we were what when where which who whom whose will with you your
    """.split()
)


def pieces(text: str) -> list[str]:
    """Runs of letters, of any alphabet, and numbers; of a long text those at its beginning."""
    return re.findall(r"\d+(?:\.\d+)?|[^\W\d_]+", unicodedata.normalize("NFKC", text[:READ]))


def words(text: str) -> list[str]:
    """The same in lower case."""
    return [piece.lower() for piece in pieces(text)]


def name_words(name: str) -> list[str]:
    """The words of an identifier: `HomeTown`, `home_town` and `home town` are the same two."""
    spaced = re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", " ", name)
    return words(spaced)


@lru_cache(1 << 16)
def stem(word: str) -> str:
    """The word without its inflection, by Porter's English stemmer."""
    return str(_stemmer.stemWord(word))


def stems(found: list[str]) -> list[str]:
    return [stem(word) for word in found]


@lru_cache(1)
def synonyms() -> dict[str, frozenset[str]]:
    """For the stem of a word that names have, the stems of words by which questions mean it."""
    table: dict[str, frozenset[str]] = {}
    for line in (files("prompts") / "synonyms.txt").read_text(encoding="utf-8").splitlines():
        if line.strip() and not line.startswith("#"):
            names, _, others = line.partition(":")
            meant = frozenset(stems(others.split()))
            for name in stems(names.split()):
                table[name] = table.get(name, frozenset()) | meant
    return table
