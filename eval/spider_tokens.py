"""Words of SQL as Spider's official evaluator sees them.

Reads SQL text, gives tokens. Quoted texts are kept whole; everything else is split as the Penn Treebank's
tokenizer splits English, which is why `age=20` is one word and `age >20` three.
"""

import re

from eval.query import ParseError

# The word splitting of the Penn Treebank, as far as text without quotes can tell.
_FINAL_PERIOD = re.compile(r"(?<=[^.])\.(?=[\])}>»”’ ]*\s*$)")
_SEPARATOR = re.compile(r"([:,])(\D)")
_LAST_SEPARATOR = re.compile(r"[:,]$")
_PADDED = re.compile(r"\.{2,}|--|[;@#$%&?!*()\[\]{}<>«“‘„»”’]|`+")
_CONTRACTION = re.compile(r"(?i)\b(can(?=not\b)|gim(?=me\b)|gon(?=na\b)|got(?=ta\b)|lem(?=me\b)|wan(?=na\s))")


def tokenize(sql: str) -> list[str]:
    """Lower-case words; a quoted text is one token in double quotes, its case kept."""
    sql = sql.replace("'", '"')
    pieces = sql.split('"')
    if len(pieces) % 2 == 0:
        raise ParseError("a quote is not closed")
    texts = {f"__val_{number}__": f'"{text}"' for number, text in enumerate(pieces[1::2])}
    marks = [*texts, ""]
    bare = "".join(f"{piece}{mark}" for piece, mark in zip(pieces[::2], marks, strict=True))
    tokens: list[str] = []
    for word in _words(bare):
        if word == "=" and tokens and tokens[-1] in ("!", ">", "<"):
            tokens[-1] += word
        else:
            tokens.append(texts.get(word, word))
    return tokens


def _words(text: str) -> list[str]:
    text = _FINAL_PERIOD.sub(" . ", text)
    text = _SEPARATOR.sub(r" \1 \2", text)
    text = _LAST_SEPARATOR.sub(r" \g<0> ", text)
    text = _PADDED.sub(r" \g<0> ", text)
    return _CONTRACTION.sub(r"\1 ", f" {text} ").lower().split()
