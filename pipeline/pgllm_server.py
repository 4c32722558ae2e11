"""A model straight into a PostgreSQL server's pg_llm tables, in one transaction.

Reads what `pipeline/pgllm.py` gives it; writes five tables, which must be there. Of a model that is there already the rows
are replaced; others stay, unless all is to be emptied. No message holds a password.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from data.errors import UsageError, UserError
from data.imports.catalogue import CONNECT_SECONDS, Address, read_address
from data.imports.postgres import OPTIONS
from pipeline.console import progress
from pipeline.pgllm_files import Field

CHUNK_BYTES = 64 * 2**20
PER_TOKEN = ("wte", "wpe")  # one row an id


@dataclass(frozen=True)
class Table:
    """Its columns with their types; of `keyed` ones the first column is the model's name."""

    columns: Mapping[str, str]
    keyed: bool = True

    @property
    def listed(self) -> str:
        return ", ".join(f'"{name}"' if name in ("left", "right") else name for name in self.columns)


# In the order in which they are filled.
TABLES = {
    "llm_model_config": Table(
        {"model": "text"} | dict.fromkeys(("n_layer", "n_head", "d_model", "n_positions", "vocab"), "int4")
    ),
    "llm_param": Table({"model": "text", "name": "text", "token_id": "int4", "data": "bytea"}),
    "llm_bpe_vocab": Table({"model": "text", "token_id": "int4", "token": "text", "score": "float4", "bytes": "bytea"}),
    "llm_bpe_merges": Table({"model": "text", "rank": "int4", "left": "text", "right": "text", "pair": "text"}),
    "llm_dataset": Table({"tokens": "int4[]", "target": "int4[]"}, keyed=False),
}
# The data set's rows name no model: those that an earlier export of the same examples wrote are replaced.
NEW_BLOCKS = "CREATE TEMP TABLE loraql_blocks (place SERIAL, tokens INT[], target INT[]) ON COMMIT DROP"
OLD_BLOCKS = "DELETE FROM llm_dataset d USING loraql_blocks b WHERE d.tokens = b.tokens AND d.target = b.target"
ADD_BLOCKS = "INSERT INTO llm_dataset (tokens, target) SELECT tokens, target FROM loraql_blocks ORDER BY place"


def load_server(
    url: str,
    model: str,
    rows: Mapping[str, Iterable[Sequence[Field]]],
    tensors: Iterable[tuple[str, NDArray[np.float32]]],
    total: int,
    truncate: bool = False,
) -> int:
    """Writes all rows or none; `total` is the number of weights. How many rows of other data sets are left.

    Raises UsageError for a URL that is none, else UserError in one line.
    """
    address = read_address(url, {"postgres": OPTIONS, "mysql": ()})
    if address.dialect != "postgres":
        raise UsageError("--db: pg_llm is an extension of PostgreSQL; give postgresql://USER@HOST:PORT/DATABASE")
    with _connected(address) as connection:
        import psycopg

        try:
            with connection.transaction(), connection.cursor() as cursor:
                _check_tables(address, cursor)
                _empty(cursor, model, truncate)
                for name in ("llm_model_config", "llm_bpe_vocab", "llm_bpe_merges"):
                    _copy(cursor, name, TABLES[name], rows[name])
                _copy_weights(cursor, model, tensors, total)
                cursor.execute(NEW_BLOCKS)
                _copy(cursor, "loraql_blocks", TABLES["llm_dataset"], rows["llm_dataset"])
                cursor.execute(OLD_BLOCKS)
                ((others,),) = cursor.execute("SELECT count(*) FROM llm_dataset")
                cursor.execute(ADD_BLOCKS)
        except psycopg.Error as error:
            raise address.error("writing the model; nothing was changed", error) from error
    return int(others)


def _connected(address: Address) -> Any:
    try:
        import psycopg
    except ImportError as error:
        raise UserError('PostgreSQL needs its driver: pip install "loraql[postgres]"') from error
    given = {"user": address.user, "password": address.password, "host": address.host, "port": address.port}
    settings: dict[str, Any] = {
        name: value for name, value in (given | dict(address.options)).items() if value is not None
    }
    try:
        return psycopg.connect(
            dbname=address.database or None, connect_timeout=CONNECT_SECONDS, client_encoding="utf8", **settings
        )
    except psycopg.Error as error:
        raise address.error("cannot connect", error) from error


def _check_tables(address: Address, cursor: Any) -> None:
    for name in TABLES:
        ((found,),) = cursor.execute("SELECT to_regclass(%s)", [name])
        if found is None:
            raise UserError(
                f"{address.shown}: there is no table {name}; run CREATE EXTENSION pg_llm there, or this export's schema.sql"
            )


def _empty(cursor: Any, model: str, truncate: bool) -> None:
    if truncate:
        cursor.execute(f"TRUNCATE {', '.join(TABLES)} RESTART IDENTITY")
    for name in reversed([name for name, table in TABLES.items() if table.keyed]):  # what others point to goes last
        cursor.execute(f"DELETE FROM {name} WHERE model = %s", [model])


def _copy_weights(cursor: Any, model: str, tensors: Iterable[tuple[str, NDArray[np.float32]]], total: int) -> None:
    """In several COPYs of one transaction, so that no more than a part is ever held."""
    with progress("weights", total, "rows") as advance:
        for chunk in _chunks(weight_rows(model, tensors)):
            _copy(cursor, "llm_param", TABLES["llm_param"], chunk)
            advance(len(chunk))


def weight_rows(
    model: str, tensors: Iterable[tuple[str, NDArray[np.float32]]]
) -> Iterator[tuple[str, str, int, bytes]]:
    """A row for each embedding of an id, one for each other weight."""
    for name, values in tensors:
        for place, part in enumerate(values if name in PER_TOKEN else [values]):
            yield model, name, place, part.tobytes()


def _chunks(rows: Iterable[tuple[str, str, int, bytes]]) -> Iterator[list[tuple[str, str, int, bytes]]]:
    chunk, size = [], 0
    for row in rows:
        chunk.append(row)
        size += len(row[-1])
        if size >= CHUNK_BYTES:
            yield chunk
            chunk, size = [], 0
    if chunk:
        yield chunk


def _copy(cursor: Any, name: str, table: Table, rows: Iterable[Sequence[Field]]) -> None:
    with cursor.copy(f"COPY {name} ({table.listed}) FROM STDIN (FORMAT BINARY)") as copy:
        copy.set_types(list(table.columns.values()))
        for row in rows:
            copy.write_row(row)
