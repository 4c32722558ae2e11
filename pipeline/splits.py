"""Which pairs train, which choose the checkpoint, which are scored: a split that cannot leak.

Works on pairs whose database is known and writes nothing. Splits that the source names are kept; else whole
databases part, and within few databases whole groups of pairs: those of one SQL skeleton or one question.
"""

import random
import re
from collections import Counter, defaultdict
from collections.abc import Collection, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from data.errors import UsageError, UserError
from data.imports.pairs import Pair
from prompts.skeleton import sql_skeleton

TRAIN, SELECT, DEV, TEST = "train", "select", "dev", "test"
SHARES = (80, 10, 10)
FEWEST_DATABASES = 6  # from here on whole databases part
FEWEST_GROUPS = 3
TRIES = 50  # shuffles, of which the one whose shares are nearest is kept

Group = list[Pair]
Splits = dict[str, list[Pair]]
_QUOTED = re.compile(r"""('(?:[^']|'')*'?|"(?:[^"]|"")*"?|`[^`]*`?|--[^\n]*|/\*.*?(?:\*/|\Z))""", re.DOTALL)


@dataclass(frozen=True)
class Division:
    """The pairs of each split, in the order of the source; `by` says how they were parted."""

    splits: Splits
    by: str
    notes: tuple[str, ...] = ()
    left_out: tuple[tuple[Pair, str], ...] = ()  # with the reason


def parse_shares(text: str) -> tuple[int, int, int]:
    """`80/10/10`: train, select, dev. Raises UsageError for anything else."""
    parts = text.split("/")
    if len(parts) != 3 or not all(re.fullmatch(r"[0-9]{1,6}", part.strip()) for part in parts) or "0" in parts:
        raise UsageError(f"--split {text}: give the shares of train, select and dev, none of them 0, as in 80/10/10")
    train, select, dev = map(int, parts)
    return train, select, dev


def question_key(question: str) -> str:
    """What two questions share that differ only in case, blanks and punctuation at the ends."""
    return " ".join(question.casefold().split()).strip(" .?!:;\"'“”")


def sql_key(query: str) -> str:
    """What two queries share that differ only in blanks, comments, the case of what is not quoted, and a `;` at the end."""
    parts = _QUOTED.split(_QUOTED.sub(_without_comment, query))
    plain = [re.sub(r"\s*([^\w\s])\s*", r"\1", " ".join(part.split()).casefold()) for part in parts[::2]]
    quoted = [*(part if part[0] == "'" else part.casefold() for part in parts[1::2]), ""]
    return "".join(text + literal for text, literal in zip(plain, quoted, strict=True)).rstrip("; ")


def _without_comment(token: re.Match[str]) -> str:
    return " " if token[0].startswith(("--", "/*")) else token[0]


def split_pairs(
    pairs: Sequence[Pair], shares: tuple[int, int, int] = SHARES, seed: int = 0, missing: Collection[str] = ()
) -> Division:
    """Train, select and dev of pairs that all have a `db_id`, and test where the source has one.

    The same pairs, shares and seed give the same splits. Synthetic pairs only train, and so do those about
    databases that are `missing`, but where the source says otherwise. Raises UserError where there is too
    little to part.
    """
    written = [pair for pair in pairs if not pair.synthetic]
    if not written:
        raise UserError(
            f"all {len(pairs)} pairs are synthetic, and no score on those tells how people's questions are answered; "
            "add pairs that people wrote, or give these to another data set as data.synthetic"
        )
    about = {str(pair.db_id) for pair in written if pair.split in (TRAIN, None)}
    if about and about <= set(missing):
        raise UserError(
            f"no pair to train on is about a database that is there: {sorted(about)[0]} is missing"
            f"{f', and so are {len(about) - 1} more' if len(about) > 1 else ''}"
        )
    division = _given(written, shares, seed, missing)
    if division is None:
        named = sorted({pair.split for pair in written if pair.split})
        division = _made(written, shares, seed, missing)
        if named and named != [TRAIN]:  # a source that is all train says nothing of splits
            note = f"the source has only {' and '.join(named)}, and training needs train and dev: it is split anew"
            division = replace(division, notes=(note, *division.notes))
    division = _add_synthetic(division, [pair for pair in pairs if pair.synthetic])
    place = {id(pair): number for number, pair in enumerate(pairs)}
    splits = {
        name: sorted(chosen, key=lambda pair: place[id(pair)])
        for name in (TRAIN, SELECT, DEV, TEST)
        if (chosen := division.splits.get(name))
    }
    return replace(division, splits=splits)


def question_groups(pairs: Iterable[Pair]) -> list[Group]:
    """Pairs that must not part: of one database, with the same SQL skeleton or the same question."""
    parent: dict[Hashable, Hashable] = {}

    def root(key: Hashable) -> Hashable:
        while parent.setdefault(key, key) != key:
            parent[key] = parent[parent[key]]
            key = parent[key]
        return key

    keyed = [
        (("sql", pair.db_id, sql_skeleton(pair.query)), ("question", pair.db_id, question_key(pair.question)), pair)
        for pair in pairs
    ]
    for skeleton, question, _ in keyed:
        parent[root(question)] = root(skeleton)
    groups: dict[Hashable, Group] = defaultdict(list)
    for skeleton, _, pair in keyed:
        groups[root(skeleton)].append(pair)
    return list(groups.values())


def _by_database(pairs: Iterable[Pair]) -> list[Group]:
    groups: dict[str | None, Group] = defaultdict(list)
    for pair in pairs:
        groups[pair.db_id].append(pair)
    return list(groups.values())


def _groups_of(pairs: Sequence[Pair]) -> tuple[list[Group], str]:
    databases = _by_database(pairs)
    if len(databases) >= FEWEST_DATABASES:
        return databases, "by database: no database is in two splits"
    return question_groups(pairs), "by question group: pairs of one SQL skeleton or one question stay together"


def _made(pairs: Sequence[Pair], shares: tuple[int, int, int], seed: int, missing: Collection[str]) -> Division:
    groups, by = _groups_of([pair for pair in pairs if pair.db_id not in missing])
    if len(groups) < FEWEST_GROUPS:
        raise UserError(
            f"{len(pairs)} pair{' is' if len(pairs) == 1 else 's are'} too few or too alike to be split: groups of one SQL skeleton or one question stay "
            f"together, and {len(groups)} are not enough for train, select and dev; add pairs, or name splits in a column `split`"
        )
    whole = sum(shares)
    wanted = {DEV: len(pairs) * shares[2] / whole, SELECT: len(pairs) * shares[1] / whole}
    chosen, rest = _nearest(groups, list(wanted.values()), seed)
    splits = {name: _flat(part) for name, part in zip(wanted, chosen, strict=True)}
    splits[TRAIN] = _flat(rest) + [pair for pair in pairs if pair.db_id in missing]
    off = [
        f"{name} holds {len(splits[name])} pairs, not {count:.0f}: what belongs together is not parted"
        for name, count in wanted.items()
        if abs(len(splits[name]) - count) > max(2, count / 4)
    ]
    return Division(splits, by, tuple(off))


def _given(pairs: Sequence[Pair], shares: tuple[int, int, int], seed: int, missing: Collection[str]) -> Division | None:
    """The splits that the source names, what they lack filled in; None where they do not help."""
    named = Counter(pair.split for pair in pairs)
    if not named[TRAIN] and not named[None]:
        return None
    if not named[DEV] and not named[TEST]:
        return None
    notes = []
    if named[None]:
        notes.append(f"{named[None]} pairs name no split; they are train")
    splits: Splits = defaultdict(list)
    for pair in pairs:
        splits[pair.split or TRAIN].append(pair)
    if not named[DEV]:
        splits[DEV] = splits.pop(TEST)
        notes.append("the source has no dev split: its test questions are dev")
    by = "as the source has them"
    if not named[SELECT]:
        groups, how = _groups_of([pair for pair in splits[TRAIN] if pair.db_id not in missing])
        if len(groups) < 2:
            raise UserError(
                f"the {len(splits[TRAIN])} training pairs are too alike to hold any back for choosing checkpoints; "
                "add pairs, or name the split select for some"
            )
        target = len(splits[TRAIN]) * shares[1] / (shares[0] + shares[1])
        (selected,), rest = _nearest(groups, [target], seed)
        splits[SELECT] = _flat(selected)
        splits[TRAIN] = _flat(rest) + [pair for pair in splits[TRAIN] if pair.db_id in missing]
        by += f"; select is taken from train {how}"
    return Division(dict(splits), by, tuple(notes))


def _nearest(groups: list[Group], targets: list[float], seed: int) -> tuple[list[list[Group]], list[Group]]:
    """For each target some groups that together have about so many pairs, at least one; and the rest, at least one.

    Random draws, the best of several: to put large groups first would leave only rare forms to be scored on.
    """
    draws = [_draw(groups, targets, random.Random(f"split {seed} {number}")) for number in range(TRIES)]
    return min(
        draws,
        key=lambda draw: sum(abs(sum(map(len, part)) - target) for part, target in zip(draw[0], targets, strict=True)),
    )


def _draw(groups: list[Group], targets: list[float], draw: random.Random) -> tuple[list[list[Group]], list[Group]]:
    rest = draw.sample(groups, len(groups))
    parts: list[list[Group]] = []
    for number, target in enumerate(targets):
        must_stay = len(targets) - number  # a group for each of the others, and for train
        part, left, size = list[Group](), list[Group](), 0
        for place, group in enumerate(rest):
            can_go = len(left) + len(rest) - place - 1 >= must_stay
            if can_go and abs(size + len(group) - target) < abs(size - target):
                part.append(group)
                size += len(group)
            else:
                left.append(group)
        if not part:  # even the smallest is too large
            smallest = min(range(len(left)), key=lambda place: len(left[place]))
            part.append(left.pop(smallest))
        parts.append(part)
        rest = left
    return parts, rest


def _flat(groups: Iterable[Group]) -> list[Pair]:
    return [pair for group in groups for pair in group]


def _add_synthetic(division: Division, synthetic: Sequence[Pair]) -> Division:
    """Synthetic pairs join train, but for those that would tell what is scored."""
    scored = [pair for name, chosen in division.splits.items() if name != TRAIN for pair in chosen]
    unseen = {pair.db_id for pair in scored} - {pair.db_id for pair in division.splits[TRAIN]}
    queries = {(pair.db_id, sql_key(pair.query)) for pair in scored}
    questions = {(pair.db_id, question_key(pair.question)) for pair in scored}
    kept, left_out = [], []
    for pair in synthetic:
        if pair.db_id in unseen:
            left_out.append((pair, "synthetic, about a database that is only scored"))
        elif (pair.db_id, sql_key(pair.query)) in queries:
            left_out.append((pair, "synthetic, with the SQL of a scored pair"))
        elif (pair.db_id, question_key(pair.question)) in questions:
            left_out.append((pair, "synthetic, with the question of a scored pair"))
        else:
            kept.append(pair)
    notes = list(division.notes)
    if left_out:
        notes.append(
            f"{len(left_out)} of {len(synthetic)} synthetic pairs are left out: they would tell what is scored"
        )
    splits: Mapping[str, list[Pair]] = division.splits
    return replace(
        division,
        splits={**splits, TRAIN: splits[TRAIN] + kept},
        notes=tuple(notes),
        left_out=(*division.left_out, *left_out),
    )
