"""Examples: a question, its gold SQL, its database. In and out of the processed CSV files.

`processed/{train,dev,test}.csv` begin with the columns `question, schema, query`, so that they can be
read without this project too.
"""

from dataclasses import asdict, dataclass
from pathlib import Path

import pandas

from data.errors import UserError

COLUMNS = ["question", "schema", "query", "db_id", "split", "hardness", "gold", "id", "origin"]
GIVEN, SYNTHETIC = "given", "synthetic"  # where an example comes from
USABLE_GOLD = ("ok", "empty")  # the gold query ran
UNVERIFIED_GOLD = "no_database"  # it could not be run here


@dataclass(frozen=True)
class Example:
    """One question. `gold` says what came of running the query; `id` is the split and place in its source.

    `origin` is "synthetic" for a pair that no person wrote.
    """

    question: str
    schema: str
    query: str
    db_id: str
    split: str
    hardness: str
    gold: str
    id: str
    origin: str = GIVEN


def write_csv(examples: list[Example], path: Path) -> None:
    frame = pandas.DataFrame([asdict(example) for example in examples], columns=COLUMNS)
    frame.to_csv(path, index=False, lineterminator="\n")


def read_csv(path: Path) -> list[Example]:
    """Raises UserError naming the file and the line of the first bad row."""
    if not path.is_file():
        raise UserError(f"{path}: missing; run `loraql prepare` first")
    try:
        # object, not str: pandas' string type would turn empty cells into missing ones.
        frame = pandas.read_csv(path, dtype=object, keep_default_na=False, encoding="utf-8")
    except (pandas.errors.ParserError, pandas.errors.EmptyDataError, UnicodeDecodeError) as error:
        raise UserError(
            f"{path}: not a readable CSV file: {str(error).strip()}; mend it or run `loraql prepare --force`"
        ) from error
    missing = [name for name in COLUMNS if name not in frame.columns]
    if missing:
        raise UserError(f"{path}: lacks the column {missing[0]!r}; run `loraql prepare --force`")
    examples = []
    for place, row in enumerate(frame[COLUMNS].to_dict("records"), start=1):
        empty = [name for name in COLUMNS if not isinstance(row[name], str) or not row[name].strip()]
        if empty:
            raise UserError(f"{path}: row {place} has no {empty[0]}; mend it or run `loraql prepare --force`")
        examples.append(Example(**{name: row[name] for name in COLUMNS}))
    return examples
