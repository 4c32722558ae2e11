"""synth: databases that have no questions -> `NAME-synthetic.jsonl`, question/SQL pairs to train on.

SQL is sampled from a grammar over the schema and its values, run, and kept if it returns something
sensible; questions are worded from the same plan, and re-worded by a local model if one is given. Each
line holds question, query, db_id, hardness, `"synthetic": true` and whether it was re-worded.
"""

import re
import shlex
import tempfile
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from random import Random

from data.errors import UsageError, UserError
from data.schema import read_sqlite
from data.synthetic.grammar import draw
from data.synthetic.places import is_server, require_own, shown, source_name, write_pairs
from data.synthetic.plan import Plan, literals, skeleton, to_sql
from data.synthetic.profile import Profile, read_profile
from data.synthetic.wording import word_often
from eval.hardness import SPIDER_TRAINING, Hardness
from eval.pool import Sandbox
from eval.query import Names
from eval.reading import hardness
from eval.sandbox import Limits
from eval.sensible import refusals
from pipeline.console import Advance, progress, say, table
from pipeline.import_sources import Laid, Source, lay_out, write_all_meanings
from pipeline.reword import reword_all

LEVELS: tuple[Hardness, ...] = ("easy", "medium", "hard", "extra")
# What one query may use; a result of more rows than this is not what a question asks for.
LIMITS = Limits(seconds=2.0, cpu_seconds=2.0, rows=1_000)
ROUND = 128  # queries that are run before the next are drawn: not by workers, so that these change nothing
DRAWS = 24  # tries at each of them
DRY_ROUNDS = 12  # without a pair of a level, before it counts as used up
SHARE_OF_SKELETON = 0.04  # of the pairs may have the same SQL but for names and values
SHOWN = 5
NO_PAIRS = Source([])


@dataclass(frozen=True)
class SyntheticPair:
    """One line of the file."""

    question: str
    query: str
    db_id: str
    hardness: Hardness
    synthetic: bool = True
    reworded: bool = False


def parse_mix(text: str) -> dict[Hardness, int]:
    """ "easy=24,medium=40,hard=21,extra=15" as shares. Raises UsageError for anything else."""
    mix = dict.fromkeys(LEVELS, 0)
    names = {str(level): level for level in LEVELS}
    for part in text.split(","):
        level, equals, share = part.strip().partition("=")
        if level not in names or not equals or not re.fullmatch(r"\d{1,6}", share):
            raise UsageError(
                f"--mix {text}: {part.strip()!r} is not LEVEL=SHARE with a level of {', '.join(LEVELS)} and a whole number"
            )
        mix[names[level]] = int(share)
    if not any(mix.values()):
        raise UsageError(f"--mix {text}: all shares are 0")
    return mix


def synth(
    source: str | Path,
    out: Path | None = None,
    *,
    count: int = 500,
    mix: Mapping[Hardness, int] | None = None,
    seed: int = 0,
    wordings: int = 1,
    reword: str | None = None,
    rows: int = 0,
    schema: str | None = None,
    limits: Limits = LIMITS,
    workers: int | None = None,
) -> Path:
    """Writes `count` pairs over a database or several, or as many as they have to give; the file that holds them.

    `source` is what an import takes: a file, a folder, or a server's URL with `rows` and `schema`. `mix` gives
    the shares of the hardness levels, `wordings` the most questions for one query, `reword` a model folder or a
    base's name. The same seed gives the same bytes. Raises UsageError for numbers that cannot be, UserError for
    a database without tables or rows and for a file in the way.
    """
    if count < 1 or wordings < 1:
        raise UsageError(f"--n {count}, --wordings {wordings}: give 1 or more")
    source = str(source)
    if is_server(source) and not rows:
        raise UsageError("of a server no rows are read without --rows, and questions need values: give --rows 1000")
    shares = {level: (mix or SPIDER_TRAINING).get(level, 0) for level in LEVELS}
    out = out or Path(f"{source_name(source)}-synthetic.jsonl")
    require_own(out)
    wanted = _shared_out(count, shares)
    with tempfile.TemporaryDirectory(prefix="loraql-synth-") as scratch:
        laid = lay_out(NO_PAIRS, source, rows, schema, Path(scratch))
        profiles = _read_all(laid, source)
        with Sandbox(limits, workers) as sandbox, progress("writing pairs", count, "pairs") as advance:
            most = max(2, round(SHARE_OF_SKELETON * count))
            maker = _Maker(sandbox, Random(f"synth {seed}"), wordings, most)
            pairs = _make_all(maker, profiles, wanted, shares, advance)
    if not pairs:
        raise UserError(f"{shown(source)}: no query over its rows gives a sensible result; give more rows")
    pairs = pairs if reword is None else _reworded(pairs, maker.literals, reword)
    write_pairs(out, map(asdict, pairs))
    _show(pairs, count, wanted, maker, rewording=reword is not None)
    if len(profiles) > 1:
        each = Counter(pair.db_id for pair in pairs)
        numbers = sorted(each[profile.db_id] for profile in profiles.values())
        say(f"  databases: {len(profiles)}, with {numbers[0]} to {numbers[-1]} pairs each")
    say(f"synthetic pairs: {out}")
    say(f"to train on them beside pairs that people wrote: {_next(source, out, rows, schema, bool(laid.dialects))}")
    return out


def _next(source: str, out: Path, rows: int, schema: str | None, is_foreign: bool) -> str:
    """The command that imports the pairs with others."""
    given, name = shown(source), f"my-{source_name(source)}"
    options = [*(["--rows", str(rows)] if rows else []), *(["--schema", schema] if schema else [])]
    files = ["PAIRS"] if is_foreign else ["PAIRS", str(out)]
    text = shlex.join(["loraql", "import", *files, "--db", given, *options, "--name", name])
    if given != source:
        text += " (with the password, which is not shown)"
    if is_foreign:  # an import takes all SQL for the server's, and these are SQLite's
        text += f", then {shlex.join(['loraql', 'run', f'{name}.yaml', f'data.synthetic={out}'])}"
    return text


def _read_all(laid: Laid, source: str) -> dict[Path, Profile]:
    """What the databases hold. One without rows to ask about is left out, unless it is the only one."""
    write_all_meanings(laid, NO_PAIRS, None)
    profiles, problems = dict[Path, Profile](), list[UserError]()
    for db_id, path in laid.files.items():
        try:
            profiles[path] = read_profile(path, str(laid.origins.get(db_id, shown(source))))
        except UserError as error:
            problems.append(error)
    if not profiles:
        raise problems[0]
    for problem in problems:
        say(f"note: left out: {problem}")
    return profiles


def _make_all(
    maker: "_Maker",
    profiles: Mapping[Path, Profile],
    wanted: Mapping[Hardness, int],
    shares: Mapping[Hardness, int],
    advance: Advance,
) -> list[SyntheticPair]:
    """The pairs of all databases: dealt out like cards, so that each gets as many and as hard ones."""
    pairs: list[SyntheticPair] = []
    waiting = [level for level in LEVELS for _ in range(wanted[level])]
    for place, (database, profile) in enumerate(profiles.items()):
        left = len(profiles) - place
        mine = Counter(waiting[::left])
        waiting = [level for number, level in enumerate(waiting) if number % left]
        made = maker.make(database, profile, {level: mine[level] for level in LEVELS}, shares, advance)
        pairs += made
        # What one cannot give, those after it do.
        lacking = mine - Counter(pair.hardness for pair in made)
        waiting = sorted([*waiting, *[*lacking.elements()][: mine.total() - len(made)]], key=LEVELS.index)
    return pairs


def _shared_out(count: int, shares: Mapping[Hardness, int]) -> dict[Hardness, int]:
    """`count` by shares, in whole numbers: what is left goes to the largest remainders."""
    whole = sum(shares.values())
    parts = {level: count * share // whole for level, share in shares.items()}
    rest = sorted(shares, key=lambda level: -(count * shares[level] % whole))
    for level in rest[: count - sum(parts.values())]:
        parts[level] += 1
    return parts


class _Maker:
    """Draws, runs and words queries until every level has what it wants, or is used up."""

    def __init__(self, sandbox: Sandbox, rng: Random, wordings: int, most: int) -> None:
        self._sandbox, self._rng, self._wordings, self._most = sandbox, rng, wordings, most
        self._seen: set[str] = set()  # SQL that was run on the database in hand
        self._questions: set[str] = set()
        self._skeletons: Counter[str] = Counter()
        self.refused: Counter[str] = Counter()
        self.tried = 0
        self.literals: dict[str, list[str]] = {}  # of each question, as it has them

    def make(
        self,
        database: Path,
        profile: Profile,
        wanted: dict[Hardness, int],
        shares: Mapping[Hardness, int],
        advance: Advance,
    ) -> list[SyntheticPair]:
        """The pairs of one database, as they were found. What a used-up level still wants goes to the others."""
        self._database, self._profile, self._names = database, profile, Names(read_sqlite(database))
        self._seen.clear()
        made: Counter[Hardness] = Counter()
        dry: Counter[Hardness] = Counter()
        pairs: list[SyntheticPair] = []
        while open_levels := {level for level in wanted if made[level] < wanted[level]}:
            before = made.copy()
            for pair in self._round(open_levels):
                level = pair.hardness
                if made[level] < wanted[level]:
                    made[level] += 1
                    pairs.append(pair)
                    advance()
            for level in open_levels:
                dry[level] = 0 if made[level] > before[level] else dry[level] + 1
            _pass_on(wanted, made, {level: share for level, share in shares.items() if dry[level] < DRY_ROUNDS})
        return pairs

    def _round(self, levels: Collection[Hardness]) -> Iterator[SyntheticPair]:
        """The pairs that one round of draws gives, of these levels; no skeleton too often."""
        drawn: list[tuple[Plan, Hardness]] = []
        for _ in range(ROUND * DRAWS):
            plan = draw(self._profile, self._rng)
            if plan is None or (sql := to_sql(plan)) in self._seen or self._skeletons[skeleton(plan)] >= self._most:
                continue
            level = hardness(sql, self._names)
            if level in levels:  # those of a full level may be wanted later
                self._seen.add(sql)
                drawn.append((plan, level))
            if len(drawn) == ROUND:
                break
        self.tried += len(drawn)
        plans = [plan for plan, _ in drawn]
        for (plan, level), refusal in zip(drawn, refusals(self._sandbox, self._database, plans), strict=True):
            if refusal is None and self._skeletons[skeleton(plan)] >= self._most:
                refusal = "more of one kind than wanted"
            texts = [] if refusal else word_often(plan, self._rng, self._wordings)
            texts = [text for text in texts if text not in self._questions]
            if not texts:
                self.refused[refusal or "its question is taken"] += 1
                continue
            self._skeletons[skeleton(plan)] += 1
            for text in texts:
                self._questions.add(text)
                self.literals[text] = [str(value) for value in literals(plan)]
                yield SyntheticPair(text, to_sql(plan), self._profile.db_id, level)


def _pass_on(wanted: dict[Hardness, int], made: Mapping[Hardness, int], alive: Mapping[Hardness, int]) -> None:
    """Takes from the levels that are used up what they lack, and has the others make it."""
    lacking = sum(wanted[level] - made[level] for level in wanted if level not in alive)
    wanted.update({level: made[level] for level in wanted if level not in alive})
    if any(alive.values()):
        for level, more in _shared_out(lacking, alive).items():
            wanted[level] += more


def _reworded(pairs: Sequence[SyntheticPair], needed: Mapping[str, Sequence[str]], model: str) -> list[SyntheticPair]:
    """The pairs with other questions where the model gave good ones; no question twice."""
    taken = {pair.question for pair in pairs}
    done = []
    for pair, text in zip(
        pairs, reword_all([(pair.question, needed[pair.question]) for pair in pairs], model), strict=True
    ):
        if text is not None and text not in taken:
            taken.add(text)
            pair = replace(pair, question=text, reworded=True)
        done.append(pair)
    return done


def _show(
    pairs: Sequence[SyntheticPair], count: int, wanted: Mapping[Hardness, int], maker: _Maker, rewording: bool
) -> None:
    made = Counter(pair.hardness for pair in pairs)
    rows: list[list[object]] = [[level, wanted[level], made[level]] for level in LEVELS]
    table("Synthetic pairs", ["hardness", "asked for", "made"], [*rows, ["all", count, len(pairs)]])
    kept = len({pair.query for pair in pairs})
    say(f"  queries run: {maker.tried}, kept: {kept}")
    for reason, number in sorted(maker.refused.items(), key=lambda item: (-item[1], item[0])):
        say(f"    refused, {reason}: {number}")
    for pair in pairs[:SHOWN]:
        say(f"  {pair.question}\n    {pair.query}")
    if rewording:
        say(f"  re-worded: {sum(pair.reworded for pair in pairs)}; the others keep their first wording")
    short = [level for level in LEVELS if made[level] < wanted[level]]
    if len(pairs) < count:
        say(f"note: only {len(pairs)} of {count} pairs: the database gives no more that differ")
    elif short:
        say(f"note: too few {' and '.join(short)} queries over this schema; others take their place")
