"""Tables: fakesnow, with its results in the JSON that the Rust connector reads.

fakesnow answers in Arrow only and does not wait for another statement, so all of them run on one
thread, one after the other. That also makes a MERGE atomic, which fakesnow splits into several
statements of DuckDB; only one that fails in its midst leaves something behind.
"""

import decimal
import functools
import sys
from concurrent.futures import ThreadPoolExecutor

import pyarrow
import snowflake.connector.errors
from fakesnow.converter import from_binding
from fakesnow.cursor import FakeSnowflakeCursor
from fakesnow.dialect import parse_one
from fakesnow.instance import FakeSnow
from fakesnow.rowtype import describe_as_rowtype
from fakesnow.statement_type import statement_type_id
from sqlglot import exp

from .objects import DATABASE, Result
from .refusal import Refusal

_PER_SECOND = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}


class Tables:
    """The engine of the account."""

    def __init__(self, schemas: list[str]):
        self.thread = ThreadPoolExecutor(max_workers=1)
        self.engine = FakeSnow()
        for schema in schemas:
            self.engine.connect(DATABASE, schema)
        self.engine.create_database_on_connect = False
        self.engine.create_schema_on_connect = False

    def session(self, database: str | None, schema: str | None) -> "TableSession":
        return TableSession(self.engine.connect(database, schema))


class TableSession:
    """The knowledge of one session: its transaction, and its current database and schema."""

    def __init__(self, connection):
        self.connection = connection

    @property
    def database(self) -> str | None:
        return self.connection.database if self.connection.database_set else None

    @property
    def schema(self) -> str | None:
        return self.connection.schema if self.connection.schema_set else None

    def execute(self, sql: str, bindings: dict | None) -> tuple[Result, int]:
        """The result, and the kind of the statement by its number."""
        # DuckDB knows no empty collation, and has none unless told to.
        if sql.lstrip().upper().startswith("CREATE"):
            sql = sql.replace(" COLLATE ''", "")
        try:
            kind = _kind(sql)
            cursor = Cursor(self.connection, self.connection._duck_conn)
            cursor.execute(sql, binding_params=_parameters(bindings), server=True)
            rowtype = describe_as_rowtype(cursor._describe_last_sql())
        except snowflake.connector.errors.Error as error:
            code = f"{error.errno:06d}"
            raise Refusal(code, error.sqlstate or "XX000", error.msg) from error
        except Exception as error:
            # A gap of fakesnow, or of the statement: no code of Snowflake's is known.
            print(f"fakesnow: {type(error).__name__}: {error}", file=sys.stderr)
            text = "SQL execution internal error:\nProcessing aborted by error 300010"
            raise Refusal("000603", "XX000", text) from error
        table = cursor._arrow_table
        columns = [(column["name"], column["type"]) for column in rowtype]
        cells = [_cells(column) for column in table.columns] if table else []
        rows = [list(row) for row in zip(*cells, strict=True)]
        return Result(columns, rows), kind


class Cursor(FakeSnowflakeCursor):
    """Translates a statement once: the same one again takes half the time."""

    _KEPT = (exp.Delete, exp.Insert, exp.Merge, exp.Select, exp.Update)
    _known: dict[tuple, list] = {}

    def _transform_explode(self, expression):
        text = expression.sql(dialect="snowflake")
        # The meaning of IDENTIFIER(?) depends on the bind.
        if not isinstance(expression, self._KEPT) or "IDENTIFIER" in text.upper():
            return super()._transform_explode(expression)
        key = (self._conn.database, self._conn.schema, text)
        if key not in self._known:
            parts = super()._transform_explode(expression)
            self._known[key] = [super(Cursor, self)._transform(part, None) for part in parts]
            for part in self._known[key]:
                part.set("is_translated", True)
        return self._known[key]

    def _transform(self, expression, params):
        if expression.args.get("is_translated"):
            return expression
        return super()._transform(expression, params)


@functools.lru_cache
def _kind(sql: str) -> int:
    return statement_type_id(parse_one(sql))


def _parameters(bindings: dict | None):
    if not bindings:
        return None
    values = {key: _parameter(binding) for key, binding in bindings.items()}
    if all(key.isdigit() for key in values):
        return tuple(values[str(position)] for position in range(1, len(values) + 1))
    return values


def _parameter(binding: dict):
    # fakesnow reads a NULL only as text.
    return None if binding["value"] is None else from_binding(binding)


def _cells(column) -> list[str | None]:
    kind = column.type
    if pyarrow.types.is_timestamp(kind) or pyarrow.types.is_time(kind):
        per_second = _PER_SECOND[kind.unit]
        zone = " 1440" if getattr(kind, "tz", None) else ""
        integers = column.cast(pyarrow.int64()).to_pylist()
        return [
            None if i is None else _seconds(i, per_second) + zone for i in integers
        ]
    if pyarrow.types.is_date(kind):
        days = column.cast(pyarrow.date32()).cast(pyarrow.int32()).to_pylist()
        return [None if day is None else str(day) for day in days]
    return [None if value is None else _cell(value) for value in column.to_pylist()]


def _seconds(count: int, per_second: int) -> str:
    whole, rest = divmod(count, per_second)
    return f"{whole}.{rest * (10**9 // per_second):09d}"


def _cell(value) -> str:
    if isinstance(value, bool):
        return "1" if value else "0"
    if isinstance(value, bytes):
        return value.hex().upper()
    if isinstance(value, decimal.Decimal):
        return f"{value:f}"
    return str(value)
