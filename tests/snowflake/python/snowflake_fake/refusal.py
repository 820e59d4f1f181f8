"""How Snowflake says no: a code of six digits, an SQL state and a message.

Codes and texts are the recorded ones where a recording exists. The others follow the documented
pattern and are marked as ours.
"""


class Refusal(Exception):
    """The end of a statement, or of a login."""

    def __init__(self, code: str, sql_state: str, message: str):
        super().__init__(message)
        self.code = code
        self.sql_state = sql_state
        self.message = message


def syntax_error(sql: str, position: int, unexpected: str) -> Refusal:
    line = sql.count("\n", 0, position) + 1
    column = position - (sql.rfind("\n", 0, position) + 1)
    message = (
        "SQL compilation error:\n"
        f"syntax error line {line} at position {column} unexpected '{unexpected}'."
    )
    return Refusal("001003", "42000", message)


def missing(kind: str, name: str) -> Refusal:
    message = f"SQL compilation error:\n{kind} '{name}' does not exist or not authorized."
    return Refusal("002003", "02000", message)


def no_object() -> Refusal:
    message = (
        "SQL compilation error:\nObject does not exist, or operation cannot be performed."
    )
    return Refusal("002043", "02000", message)


def exists(name: str) -> Refusal:
    return Refusal(
        "002002", "42710", f"SQL compilation error:\nObject '{name}' already exists."
    )


def insufficient(kind: str, name: str) -> Refusal:
    message = (
        f"SQL access control error:\nInsufficient privileges to operate on {kind} '{name}'"
    )
    return Refusal("003001", "42501", message)


def no_schema(verb: str) -> Refusal:
    message = (
        f"Cannot perform {verb}. This session does not have a current schema. "
        "Call 'USE SCHEMA', or use a qualified name."
    )
    return Refusal("090106", "22000", message)


def no_warehouse() -> Refusal:
    message = (
        "No active warehouse selected in the current session.  "
        "Select an active warehouse with the 'use warehouse' command.\n"
    )
    return Refusal("000606", "57P03", message)
