"""A distilled test suite: few databases that tell a gold query from its neighbours.

Reads one database and its gold queries; writes the fuzzed databases that are worth keeping beside it.
One database lets wrong queries pass that happen to return the same rows; several leave less to chance.
Golds and neighbours run in the sandbox and are compared as scoring compares. The same seed gives the
same bytes, save where a query is near a limit of time or memory: what ran into one tells nothing apart,
and is counted. Source: Zhong et al. (2020), "Semantic Evaluation for Text-to-SQL with Distilled Test
Suites".
"""

import random
import shutil
import tempfile
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from data.schema import Schema, read_sqlite
from eval.cover import Candidate, Mutant, choose
from eval.facts import Facts, facts
from eval.fuzz import fuzz
from eval.neighbours import neighbours, rewritten
from eval.pool import Sandbox
from eval.sandbox import Outcome
from eval.source import Source, read_source
from eval.verdict import is_ordered, normalize, same_result

GOLD_SECONDS = 30.0  # golds are right, and few: on the original they get longer than their neighbours
CUT_SHORT = ("timeout", "cpu", "memory", "crashed")  # say something of the machine, too
ACCIDENTS = (*CUT_SHORT, "too_many_rows")  # say nothing of what the query means
BEYOND_SQL = ("ok", *ACCIDENTS, "too_large")  # a query that fails otherwise is none


@dataclass(frozen=True)
class Settings:
    """How a suite is made: at most `most` databases, the original among them; `neighbours` a gold.

    Candidates come in rounds; `patience` rounds without gain end the search.
    """

    most: int = 20
    seed: int = 0
    neighbours: int = 20
    rounds: int = 12
    candidates: int = 8
    patience: int = 3


def distill(
    database: Path, golds: Iterable[str], folder: Path, sandbox: Sandbox, settings: Settings | None = None
) -> dict[str, Any]:
    """Writes `fuzz-01.sqlite` and on into `folder`; what the suite tells apart, for JSON.

    A mutant counts as killed where scoring would not take it for the gold, and the gold's own result
    does not hang on the order in which SQLite reads rows. Raises UserError for a database that cannot
    be read.
    """
    with tempfile.TemporaryDirectory(dir=folder, prefix=".candidates-") as scratch:
        search = _Search(database, golds, Path(scratch), sandbox, settings or Settings())
        pool = search.candidates()
        kept = choose(pool, search.settings.most - 1)
        names = [f"fuzz-{number:02d}.sqlite" for number in range(1, len(kept) + 1)]
        for name, candidate in zip(names, kept, strict=True):
            shutil.copyfile(candidate.path, folder / name)
        return search.figures(pool, dict(zip(names, kept, strict=True)))


class _Search:
    """One database's golds and mutants, and the search for databases that tell them apart."""

    def __init__(
        self, database: Path, golds: Iterable[str], scratch: Path, sandbox: Sandbox, settings: Settings
    ) -> None:
        self._database, self._scratch, self._sandbox, self.settings = database, scratch, sandbox, settings
        self._schema: Schema = read_sqlite(database)
        self._source: Source = read_source(database)
        self._facts: dict[str, Facts] = {}
        self._made = self._cut_short = 0
        self._failed: dict[str, str] = {}
        self._too_slow: dict[str, str] = {}
        self._golds: list[str] = []
        self._silent: set[str] = set()
        self._unread: list[
            str
        ] = []  # golds without neighbours, since sqlglot does not spell them with the same meaning
        self._read_golds(dict.fromkeys(normalize(gold, keep_distinct=True) for gold in golds))
        self.mutants: list[Mutant] = []
        self._by_original: set[Mutant] = set()
        self._read_mutants()

    def _read_golds(self, given: Iterable[str]) -> None:
        """Runs the golds, with time enough, and says what each is fit for."""
        spelled = {gold: rewritten(gold, self._schema) for gold in given}
        limits = self._sandbox.limits
        seconds, cpu_seconds = max(limits.seconds, GOLD_SECONDS), max(limits.cpu_seconds, GOLD_SECONDS)

        def note(gold: str, outcomes: Mapping[str, Outcome]) -> None:
            bare, text = outcomes[normalize(gold)], spelled[gold]
            bad = next((outcome for outcome in (outcomes[gold], bare) if outcome.category != "ok"), None)
            if bad:
                listed = self._too_slow if bad.category in BEYOND_SQL else self._failed
                listed[gold] = f"{bad.category}: {bad.message}"
                return
            self._golds.append(gold)
            if not bare.rows:
                self._silent.add(gold)
            if text is None or not _same(gold, outcomes[gold], outcomes[text]):
                self._unread.append(gold)

        texts = {gold: [gold, normalize(gold), text or gold] for gold, text in spelled.items()}
        with Sandbox(replace(limits, seconds=seconds, cpu_seconds=cpu_seconds), self._sandbox.workers) as patient:
            self._each(patient, self._database, texts, note)

    def _read_mutants(self) -> None:
        """Makes the mutants, keeps those that are SQL, and says which the original kills."""
        values, unread = self._source.values(), set(self._unread)
        made = {
            gold: [
                Mutant(gold, item.kind, item.sql)
                for item in neighbours(gold, self._schema, values, self.settings.seed, self.settings.neighbours)
            ]
            for gold in self._golds
            if gold not in unread
        }

        def note(gold: str, outcomes: Mapping[str, Outcome]) -> None:
            run = [mutant for mutant in made[gold] if outcomes[mutant.texts[1]].category in BEYOND_SQL]
            self.mutants += run
            self._by_original |= {mutant for mutant in run if _differs(mutant, outcomes)}

        self._each(self._sandbox, self._database, _texts(made), note)

    def _each(
        self,
        sandbox: Sandbox,
        path: Path,
        texts: Mapping[str, Iterable[str]],
        note: Callable[[str, Mapping[str, Outcome]], None],
    ) -> None:
        """Hands `note` each gold with the outcomes of its texts: rows are held of one gold at a time."""
        unique = {gold: list(dict.fromkeys(listed)) for gold, listed in texts.items()}
        outcomes = self._counted(sandbox.map((path, text) for listed in unique.values() for text in listed))
        for gold, listed in unique.items():
            note(gold, {text: next(outcomes) for text in listed})
        assert next(outcomes, None) is None  # at the end the workers are given back

    def _run(self, path: Path, texts: Iterable[str]) -> dict[str, Outcome]:
        """Each text once."""
        unique = list(dict.fromkeys(texts))
        return dict(zip(unique, self._counted(self._sandbox.map((path, text) for text in unique)), strict=True))

    def _counted(self, outcomes: Iterator[Outcome]) -> Iterator[Outcome]:
        for outcome in outcomes:
            self._cut_short += outcome.category in CUT_SHORT
            yield outcome

    def candidates(self) -> list[Candidate]:
        """Fuzzed databases, each of which killed what none before it did; their kills in full."""
        alive = [mutant for mutant in self.mutants if mutant not in self._by_original]
        targets, idle = list(alive), 0
        pool: list[Candidate] = []
        for round_ in range(self.settings.rounds if self.settings.most > 1 else 0):
            before = len(alive)
            for number in range(self.settings.candidates):
                if not alive:
                    return self._complete(pool, targets)
                found = self._candidate(f"{self.settings.seed} {round_} {number}", alive, aimed=number % 2 == 1)
                if found:
                    pool.append(found)
                    alive = [mutant for mutant in alive if mutant not in found.kills]
            idle = idle + 1 if len(alive) == before else 0
            if idle == self.settings.patience:
                break
        return self._complete(pool, targets)

    def _candidate(self, seed: str, alive: Sequence[Mutant], aimed: bool) -> Candidate | None:
        """A fuzzed database, if it kills any that are alive and every gold runs on it."""
        self._made += 1
        path, plain = self._scratch / f"{self._made}.sqlite", self._scratch / f"{self._made}-plain.sqlite"
        fuzz(self._source, self._aims(alive, seed, aimed), f"{self._database.stem} {seed}", path, plain)
        kills = self._kills(path, plain, alive)
        golds = self._run(path, map(normalize, self._golds)) if kills else {}
        if not kills or any(outcome.category != "ok" for outcome in golds.values()):
            path.unlink()
            plain.unlink()
            return None
        again = self._run(plain, map(normalize, self._golds))
        return Candidate(
            path,
            kills,
            {gold for gold in self._golds if not _same(gold, golds[normalize(gold)], again[normalize(gold)])},
            {gold for gold in self._golds if not golds[normalize(gold)].rows},
        )

    def _aims(self, alive: Sequence[Mutant], seed: str, aimed: bool) -> list[Facts]:
        """What the rows aim at: all golds with mutants alive, or one of them and its mutants."""
        golds = list(dict.fromkeys(mutant.gold for mutant in alive))
        if aimed:
            chosen = random.Random(seed).choice(alive).gold  # golds with many mutants alive come often
            golds = [chosen, *(mutant.sql for mutant in alive if mutant.gold == chosen)]
        for sql in golds:
            if sql not in self._facts:
                self._facts[sql] = facts(sql, self._schema)
        return [self._facts[sql] for sql in golds]

    def _kills(self, path: Path, plain: Path, mutants: Sequence[Mutant]) -> set[Mutant]:
        by_gold: dict[str, list[Mutant]] = {}
        for mutant in mutants:
            by_gold.setdefault(mutant.gold, []).append(mutant)
        differing: dict[Mutant, Outcome] = {}

        def note(gold: str, outcomes: Mapping[str, Outcome]) -> None:
            differing.update({item: outcomes[item.texts[0]] for item in by_gold[gold] if _differs(item, outcomes)})

        self._each(self._sandbox, path, _texts(by_gold), note)
        again = self._run(plain, [mutant.texts[0] for mutant in differing])
        return {mutant for mutant, gold in differing.items() if _same(mutant.gold, gold, again[mutant.texts[0]])}

    def _complete(self, pool: list[Candidate], targets: Sequence[Mutant]) -> list[Candidate]:
        """The pool with every kill: while searching, those that were dead already were left out."""
        for candidate in pool:
            plain = candidate.path.with_name(f"{candidate.path.stem}-plain.sqlite")
            candidate.kills = self._kills(candidate.path, plain, targets)
        return pool

    def figures(self, pool: Sequence[Candidate], kept: dict[str, Candidate]) -> dict[str, Any]:
        """What was made and what it tells apart, in all, by kind and by file."""
        killed = self._by_original.union(*(candidate.kills for candidate in kept.values()))
        killable = self._by_original.union(*(candidate.kills for candidate in pool))
        seen = set(self._by_original)
        files = {}
        for name, candidate in kept.items():
            files[name] = {
                "kills": len(candidate.kills),
                "new": len(candidate.kills - seen),
                "unsteady_golds": len(candidate.unsteady),
            }
            seen |= candidate.kills
        silent = self._silent.intersection(self._golds, *(candidate.silent for candidate in kept.values()))

        def by_kind(mutants: Iterable[Mutant]) -> Counter[str]:
            return Counter(mutant.kind for mutant in mutants)

        columns = [by_kind(mutants) for mutants in (self.mutants, killable, self._by_original, killed)]
        return {
            "golds": len(self._golds),
            "neighbours": len(self.mutants),
            "killable": len(killable),
            "killed_by_original": len(self._by_original),
            "killed": len(killed),
            "candidates": self._made,
            "kinds": {
                kind: dict(zip(("neighbours", "killable", "killed_by_original", "killed"), counts, strict=True))
                for kind in sorted(columns[0])
                if (counts := [column[kind] for column in columns])
            },
            "files": files,
            "golds_without_rows": sorted(silent),
            "golds_without_neighbours": self._unread,
            "golds_that_fail": self._failed,
            "golds_too_slow": self._too_slow,
            "runs_cut_short": self._cut_short,
            "not_told_apart": [
                {"kind": mutant.kind, "gold": mutant.gold, "neighbour": mutant.sql}
                for mutant in self.mutants
                if mutant not in killable
            ],
        }


def _texts(by_gold: Mapping[str, Iterable[Mutant]]) -> dict[str, list[str]]:
    """All that has to be run of each gold."""
    return {gold: [text for mutant in mutants for text in mutant.texts] for gold, mutants in by_gold.items()}


def _differs(mutant: Mutant, outcomes: Mapping[str, Outcome]) -> bool:
    """Whether scoring would not take the mutant for its gold."""
    gold, other = (outcomes[text] for text in mutant.texts)
    return gold.category == "ok" and other.category not in ACCIDENTS and not _same(mutant.gold, gold, other)


def _same(gold_sql: str, gold: Outcome, other: Outcome) -> bool:
    return gold.category == other.category == "ok" and same_result(gold.rows, other.rows, is_ordered(gold_sql))
