"""Words of a Snowflake statement: enough to tell an identifier from a string and one statement
from two. Says nothing about their meaning.
"""

import re
from dataclasses import dataclass

from .refusal import Refusal, syntax_error

# The order matters: a comment begins like punctuation.
_TOKEN = re.compile(
    r"""
      (?P<space>\s+|--[^\n]*|//[^\n]*|/\*.*?\*/)
    | (?P<word>[A-Za-z_][A-Za-z0-9_$]*)
    | (?P<quoted>"(?:[^"]|"")*")
    | (?P<string>'(?:[^'\\]|''|\\.)*'|\$\$.*?\$\$)
    | (?P<number>\d+(?:\.\d+)?)
    | (?P<bind>\?|:[A-Za-z0-9_]+)
    | (?P<sign>[^'"\s])
    """,
    re.VERBOSE | re.DOTALL,
)

_ESCAPES = {"n": "\n", "t": "\t", "r": "\r", "b": "\b", "f": "\f", "0": "\0"}
_ESCAPE = re.compile(r"''|\\(u[0-9A-Fa-f]{4}|x[0-9A-Fa-f]{2}|[0-7]{3}|.)", re.DOTALL)


@dataclass(frozen=True)
class Token:
    """One word; `value` is a string without quotes, an identifier as Snowflake resolves it."""

    kind: str
    text: str
    value: str
    position: int


def tokens(sql: str) -> list[Token]:
    """The words of exactly one statement, without a semicolon at its end."""
    found = []
    position = 0
    while position < len(sql):
        match = _TOKEN.match(sql, position)
        if match is None:
            raise syntax_error(sql, position, sql[position])
        kind, text = match.lastgroup, match.group()
        if kind != "space":
            found.append(Token(kind, text, _value(kind, text), position))
        position = match.end()
    while found and found[-1].text == ";":
        found.pop()
    count = sum(token.text == ";" for token in found)
    if count:
        message = (
            f"Actual statement count {count + 1} did not match the desired statement count 1."
        )
        raise Refusal("000008", "0A000", message)
    return found


def spaced(sql: str, words: list[Token]) -> str:
    """The statement with a space after each `?`: to fakesnow's parser `?::` is a word."""
    for word in reversed(words):
        if word.text == "?" and word.kind == "bind":
            sql = f"{sql[: word.position + 1]} {sql[word.position + 1 :]}"
    return sql


def _value(kind: str, text: str) -> str:
    if kind == "word":
        return text.upper()
    if kind == "quoted":
        return text[1:-1].replace('""', '"')
    if kind == "string":
        return text[2:-2] if text.startswith("$$") else _ESCAPE.sub(_unescaped, text[1:-1])
    return text


def _unescaped(match: re.Match) -> str:
    code = match.group(1)
    if code is None:
        return "'"
    if len(code) > 1:
        return chr(int(code[1:], 16) if code[0] in "ux" else int(code, 8))
    return _ESCAPES.get(code, code)
