"""check-up: the pairs of a data set and their databases, examined -> `checkup.json` and `checkup.html`.

Runs every gold query, compares pairs with each other and with the databases, counts tokens. Ends with what
to do, the most pressing first. Changes no pair: what is wrong is told, not mended.
"""

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from data.errors import UserError
from data.imports.building import quoted
from data.meanings import describe_columns
from data.schema import Schema, read_sqlite
from eval.pool import Sandbox
from eval.sandbox import Limits
from pipeline.checkup.counts import SPIDER_MIX, coverage, hardness_mix, token_lengths
from pipeline.checkup.facts import KINDS, Checkup, Finding, Item, Lengths
from pipeline.checkup.golds import run_golds
from pipeline.checkup.page import write_page
from pipeline.checkup.pairs import contradictions, duplicates, leaks, near_duplicates
from pipeline.checkup.values import unfounded
from pipeline.console import progress, say, table
from pipeline.splits import DEV, SELECT, TEST, TRAIN
from pipeline.stage import write_json

JSON, PAGE = "checkup.json", "checkup.html"
ADVICE: Mapping[str, str] = {
    "fails": "{count} gold {queries} fail{s} (e.g. {detail}): mend or remove {places}; {they} left out of training and scoring",
    "leak": "{count} {pairs} {are} in two splits: a score on {them} is flattered; remove {places} from one of the splits",
    "contradiction": "{count} {questions} {have} two different answers: keep the right SQL, or ask more exactly, at {places}",
    "unused": "{count} {pairs} {are} left out (e.g. {detail}): mend {places}, or do without",
    "schema": "{count} {questions} hold{s} the schema: leave only what is asked, at {places}",
    "unstable": "{count} gold {queries} may return other rows another time: add what decides between ties to ORDER BY at {places}",
    "unfounded": "{count} {pairs} {have} a value in the SQL that neither question nor database holds: check {places}",
    "empty": "{count} gold {queries} return{s} nothing, so that wrong SQL passes too: check {places}",
    "slow": "{count} gold {queries} take{s} more than a second: scoring will wait for {them} each time; see {places}",
    "long": "{count} {pairs} {are} too long for the model: give its tables fewer columns, or another --base; see {places}",
    "duplicate": "{count} {pairs} {are} there twice: remove {places}",
    "doubt": "{count} {queries} may answer otherwise than on the server (e.g. {detail}): check {places}",
    "spelling": "{count} {questions} {have} two spellings of one answer: keep one, at {places}",
    "near": "{count} {pairs} ask{s} in the words of another with other SQL: compare {places}",
}
MISSING = "{count} {pairs} {are} about databases that are not there: add "
SCHEMA = re.compile(r"\bCREATE\s+TABLE\b", re.IGNORECASE)
SHOWN_PLACES = 6
SHOWN_NAMES = 6
SHOWN_DATABASES = 2
MOST_TABLES = 400  # that are looked at for rows
FEW_QUESTIONS = 30  # a score on fewer says little
FAR_FROM_SPIDER = 0.3  # the part of the pairs that would have to be of another class


def check_up(
    name: str,
    items: Sequence[Item],
    base: str,
    folder: Path,
    notes: Sequence[str] = (),
    aside: Mapping[str, Sequence[Finding]] | None = None,
    workers: int | None = None,
) -> Checkup:
    """Examines the pairs and writes both files into `folder`.

    `base` is a base model as `model.base` names it: where its tokenizer cannot be had, a note says so and
    the rest goes on. `notes` are shown besides, and `aside` are findings that the import made itself.
    """
    paths = {str(item.pair.db_id): item.database for item in items if item.database}
    schemas = {db_id: describe_columns(read_sqlite(path, db_id), path) for db_id, path in paths.items()}
    findings: dict[str, Sequence[Finding]] = dict.fromkeys(KINDS, ())
    with Sandbox(Limits(), workers) as sandbox:
        with progress("running gold queries", sum(item.database is not None for item in items)) as advance:
            found, results = run_golds(items, sandbox, advance)
        filled = {db_id: _has_rows(schema, paths[db_id], sandbox) for db_id, schema in schemas.items()}
        full = {db_id: schema for db_id, schema in schemas.items() if filled[db_id]}
        unsaid = list(unfounded(items, full, sandbox))
    contradicting = list(contradictions(items, results))
    findings |= found | {
        **(aside or {}),
        "schema": [Finding(item, "holds CREATE TABLE") for item in items if SCHEMA.search(item.pair.question)],
        "unfounded": unsaid,
        # Where there are no rows every result is empty, and that is told of the database.
        "empty": [finding for finding in found["empty"] if finding.item.pair.db_id in full],
        "missing": [Finding(item, f"no database {item.pair.db_id}") for item in items if item.database is None],
        "contradiction": [finding for finding, same in contradicting if not same],
        "spelling": [finding for finding, same in contradicting if same],
        "duplicate": list(duplicates(items)),
        "near": [finding for finding, _ in near_duplicates(items, results)],
        "leak": list(leaks(items)),
    }
    lengths, problem = _lengths(items, schemas, base)
    if lengths and lengths.limit:
        known = [item for item in items if item.pair.db_id in schemas]
        pairs = zip(known, lengths.tokens, strict=True)
        findings["long"] = [Finding(item, f"{tokens:,} tokens") for item, tokens in pairs if tokens > lengths.limit]
    counts = Counter(item.split for item in items)
    checkup = Checkup(
        name=name,
        splits={split: counts[split] for split in (TRAIN, SELECT, DEV, TEST) if counts[split]},
        findings=findings,
        databases=coverage(items, schemas, filled),
        missing=Counter(str(item.pair.db_id) for item in items if item.database is None),
        hardness=hardness_mix(items, schemas),
        lengths=lengths,
        notes=[*notes, *problem],
        synthetic=sum(item.pair.synthetic for item in items),
    )
    checkup = replace(checkup, actions=list(advise(checkup)))
    write_json(folder / JSON, checkup.record())
    write_page(checkup, folder / PAGE)
    return checkup


def show(checkup: Checkup, folder: Path) -> None:
    """What was found, on screen; `folder` holds the files."""
    found = [(KINDS[kind].title, len(findings)) for kind, findings in checkup.findings.items() if findings]
    if found:
        table(f"Check-up of {checkup.pairs:,} pairs", ["finding", "pairs"], found)
    else:
        say(f"check-up of {checkup.pairs:,} pairs: nothing found")
    mix = ", ".join(
        f"{level} {100 * count / checkup.pairs:.0f}%"
        + (f" ({100 * SPIDER_MIX[level]:.0f})" if level in SPIDER_MIX else "")
        for level, count in checkup.hardness.items()
        if count or level in SPIDER_MIX
    )
    say(f"  hardness (Spider's training mix): {mix}")
    if checkup.lengths:
        lengths = checkup.lengths
        limit = f"; {lengths.base} reads {lengths.limit:,}" if lengths.limit else ""
        say(
            f"  tokens of prompt and SQL: median {lengths.share(0.5):,}, 95% {lengths.share(0.95):,}, longest {lengths.share(1):,}{limit}"
        )
    for note in checkup.notes:
        say(f"  note: {note}")
    say("What to do:" if checkup.actions else "What to do: nothing")
    for number, action in enumerate(checkup.actions, start=1):
        say(f"  {number}. {action}")
    say(f"check-up: {folder / PAGE}")


def advise(checkup: Checkup) -> Iterator[str]:
    """What to do, the most pressing first; each names rows of the source."""
    bare = [db_id for db_id, database in checkup.databases.items() if not database.has_rows]
    for kind, found in checkup.findings.items():
        if kind == "missing" and checkup.missing:
            names = [f"{db_id} ({count})" for db_id, count in checkup.missing.items()]
            yield _sentence(MISSING, found) + _some(names)
        if kind == "missing" and bare:
            yield f"{_some(bare)}: no rows, so that every result is empty; import with rows (of a server: --rows N)"
        elif kind in ADVICE and found:
            yield _sentence(ADVICE[kind], found)
    yield from _about_all(checkup)


def _about_all(checkup: Checkup) -> Iterator[str]:
    if checkup.splits.get(DEV, 0) < FEW_QUESTIONS:
        count = checkup.splits.get(DEV, 0)
        yield f"dev has {count} question{'' if count == 1 else 's'}: write more, {FEW_QUESTIONS} at the least, or a score says little"
    unasked = [f"{db_id}.{name}" for db_id, database in checkup.databases.items() for name in database.unasked_tables]
    if unasked:
        yield f"{len(unasked)} {'table is' if len(unasked) == 1 else 'tables are'} never asked about: write questions on {_some(unasked)}, or `loraql synth` some"
    unused = sum(len(database.unused_columns) for database in checkup.databases.values())
    if unused:
        are = (
            "column of the tables that are asked about is"
            if unused == 1
            else "columns of the tables that are asked about are"
        )
        yield f"{unused} {are} named by no query: the page lists {'it' if unused == 1 else 'them'}"
    known = sum(checkup.hardness[level] for level in SPIDER_MIX)
    shares = {level: checkup.hardness[level] / max(known, 1) for level in SPIDER_MIX}
    if sum(abs(shares[level] - SPIDER_MIX[level]) for level in SPIDER_MIX) / 2 > FAR_FROM_SPIDER:
        more = max(SPIDER_MIX, key=lambda level: shares[level] - SPIDER_MIX[level])
        less = min(SPIDER_MIX, key=lambda level: shares[level] - SPIDER_MIX[level])
        yield (
            f"{100 * shares[more]:.0f}% of the queries are {more}, and {100 * shares[less]:.0f}% {less}: "
            f"if people will ask {less} questions, write some"
        )


def _sentence(words: str, found: Sequence[Finding]) -> str:
    one = len(found) == 1
    forms = {"queries": "query", "pairs": "pair", "questions": "question", "are": "is", "have": "has", "them": "it"}
    told = {many: single if one else many for many, single in forms.items()}
    told |= {"s": "s" if one else "", "they": "it is" if one else "they are"}
    ((detail, _),) = Counter(finding.detail for finding in found).most_common(1)
    return words.format(count=len(found), places=places(found), detail=detail, **told)


def places(found: Sequence[Finding]) -> str:
    """Rows of the source by file, the first few: `pairs.csv rows 3, 7 and 12; other.csv row 1; and 9 more`."""
    rows: dict[str, list[str]] = {}
    for finding in found[:SHOWN_PLACES]:
        name, _, row = finding.item.pair.place.rpartition(", row ")
        rows.setdefault(name, []).append(row)
    parts = [f"{name} row{'s' if len(numbers) > 1 else ''} {', '.join(numbers)}" for name, numbers in rows.items()]
    more = len(found) - SHOWN_PLACES
    if more <= 0:
        return "; ".join(parts)
    most = [
        str(db_id) for db_id, _ in Counter(finding.item.pair.db_id for finding in found).most_common(SHOWN_DATABASES)
    ]
    return f"{'; '.join(parts)} and {more} more" + (f" (most in {' and '.join(most)})" if len(most) > 1 else "")


def _some(names: Sequence[str]) -> str:
    more = len(names) - SHOWN_NAMES
    return ", ".join(names[:SHOWN_NAMES]) + (f" and {more} more" if more > 0 else "")


def _has_rows(schema: Schema, path: Path | None, sandbox: Sandbox) -> bool:
    if path is None or not schema.tables:
        return False
    tests = " OR ".join(f"EXISTS (SELECT 1 FROM {quoted(table.name)})" for table in schema.tables[:MOST_TABLES])
    outcome = sandbox.run(path, f"SELECT {tests}")
    return outcome.category != "ok" or bool(outcome.rows[0][0])


def _lengths(items: Sequence[Item], schemas: Mapping[str, Schema], base: str) -> tuple[Lengths | None, list[str]]:
    """Token lengths, or the one line that says why there are none."""
    if not schemas:
        return None, []
    try:
        return token_lengths(items, schemas, base), []
    except UserError as error:
        return None, [f"tokens are not counted: {error}"]
