"""The documented grammar of the parts that fakesnow has not got: secrets, the procedures that
read them, grants, and the few statements of an administrator that go with them.

Takes the statements of Snowflake's reference pages and nothing beyond; anything else is refused as
a syntax error. Only `GENERIC_STRING` secrets and Python procedures without arguments are here.
Nothing in this file changes anything: see objects.py.
"""

from dataclasses import dataclass, field

from .lexer import Token
from .refusal import Refusal, syntax_error

Name = tuple[str, ...]


@dataclass
class Statement:
    """One statement: its verb, its object and its options."""

    verb: str
    name: Name = ()
    if_exists: bool = False
    if_not_exists: bool = False
    or_replace: bool = False
    options: dict = field(default_factory=dict)


@dataclass(frozen=True)
class Grantee:
    """The receiver of a grant."""

    kind: str
    name: str


class Parser:
    """One pass over the words of one statement."""

    def __init__(self, sql: str, words: list[Token], binds: list | None, takes_binds: bool):
        self.sql = sql
        self.words = words
        self.binds = binds or []
        self.takes_binds = takes_binds
        self.at = 0
        self.bound = 0

    # Words

    def peek(self, *texts: str) -> bool:
        word = self.words[self.at] if self.at < len(self.words) else None
        return word is not None and word.kind != "string" and word.text.upper() in texts

    def take(self, *texts: str) -> bool:
        """Takes all of these words if they come next."""
        start = self.at
        for text in texts:
            if not self.peek(text):
                self.at = start
                return False
            self.at += 1
        return True

    def need(self, *texts: str) -> None:
        for text in texts:
            if not self.take(text):
                raise self.unexpected()

    def unexpected(self) -> Refusal:
        if self.at < len(self.words):
            word = self.words[self.at]
            return syntax_error(self.sql, word.position, word.text)
        return syntax_error(self.sql, len(self.sql), "<EOF>")

    def end(self, statement: Statement) -> Statement:
        if self.at < len(self.words):
            raise self.unexpected()
        return statement

    def next(self, *kinds: str) -> Token:
        if self.at >= len(self.words) or self.words[self.at].kind not in kinds:
            raise self.unexpected()
        self.at += 1
        return self.words[self.at - 1]

    def part(self) -> str:
        word = self.next("word", "quoted")
        if not word.value:
            raise Refusal(
                "000904", "42000", "SQL compilation error: error\ninvalid identifier '\"\"'"
            )
        # The limit is documented; the code for going beyond it is ours.
        if len(word.value) > 255:
            raise syntax_error(self.sql, word.position, word.text)
        return word.value

    def name(self, parts: int = 3) -> Name:
        found = [self.part()]
        while len(found) < parts and self.take("."):
            found.append(self.part())
        return tuple(found)

    def string(self) -> str:
        return self.next("string").value

    def string_or_bind(self) -> str:
        """A literal, or its placeholder."""
        if self.at >= len(self.words) or self.words[self.at].kind != "bind":
            return self.string()
        if not self.takes_binds:
            raise self.unexpected()
        word = self.next("bind")
        # A `?` is counted, a `:2` says which.
        key = word.text[1:]
        self.bound += 1
        index = int(key) - 1 if key.isdigit() else self.bound - 1
        if key and not key.isdigit() or index >= len(self.binds):
            message = (
                f"SQL compilation error: error line 1 at position {word.position}\n"
                f"Bind variable {word.text} not set."
            )
            raise Refusal("002049", "42601", message)
        value = self.binds[index]
        if not isinstance(value, str):
            raise syntax_error(self.sql, word.position, word.text)
        return value

    # Secrets

    def create_secret(self) -> Statement:
        s = Statement("create_secret", or_replace=self.take("OR", "REPLACE"))
        self.need("SECRET")
        s.if_not_exists = self.take("IF", "NOT", "EXISTS")
        if s.or_replace and s.if_not_exists:
            raise Refusal(
                "002246",
                "42601",
                "SQL compilation error:\noptions IF NOT EXISTS and OR REPLACE are incompatible.",
            )
        s.name = self.name()
        self.need("TYPE", "=", "GENERIC_STRING", "SECRET_STRING", "=")
        s.options["string"] = self.string_or_bind()
        if self.take("COMMENT", "="):
            s.options["comment"] = self.string_or_bind()
        return self.end(s)

    def alter_secret(self) -> Statement:
        s = Statement("alter_secret", if_exists=self.take("IF", "EXISTS"))
        s.name = self.name()
        if self.take("UNSET", "COMMENT"):
            s.options["comment"] = ""
            return self.end(s)
        self.need("SET")
        while self.peek("SECRET_STRING", "COMMENT"):
            option = "string" if self.peek("SECRET_STRING") else "comment"
            if option in s.options:
                raise self.unexpected()
            self.at += 1
            self.need("=")
            s.options[option] = self.string_or_bind()
            if self.take(",") and not self.peek("SECRET_STRING", "COMMENT"):
                raise self.unexpected()
        if not s.options:
            raise self.unexpected()
        return self.end(s)

    def drop_secret(self) -> Statement:
        s = Statement("drop_secret", if_exists=self.take("IF", "EXISTS"))
        s.name = self.name()
        return self.end(s)

    def describe_secret(self) -> Statement:
        return self.end(Statement("describe_secret", self.name()))

    def show(self, verb: str) -> Statement:
        s = Statement(verb)
        if self.take("LIKE"):
            s.options["like"] = self.string()
        if self.take("IN"):
            s.options["scope"], s.name = self.scope()
        return self.end(s)

    def scope(self) -> tuple[str, Name]:
        if self.take("ACCOUNT"):
            return "account", ()
        if self.take("DATABASE"):
            return "database", self.name(1) if self.at < len(self.words) else ()
        if self.take("SCHEMA"):
            return "schema", self.name(2) if self.at < len(self.words) else ()
        name = self.name(2)
        return ("schema", name) if len(name) == 2 else ("database", name)

    # Grants

    def grant(self, verb: str) -> Statement:
        s = Statement(verb)
        if self.take("OWNERSHIP"):
            s.options["privileges"] = ["OWNERSHIP"]
        elif self.take("ALL"):
            self.take("PRIVILEGES")
            s.options["privileges"] = ["ALL"]
        else:
            s.options["privileges"] = [self.next("word").value]
            while self.take(","):
                s.options["privileges"].append(self.next("word").value)
        self.need("ON")
        s.options["kind"] = kind = self.next("word").value
        if kind not in ("SECRET", "PROCEDURE"):
            self.at -= 1
            raise self.unexpected()
        s.name = self.name()
        if kind == "PROCEDURE":
            self.need("(", ")")
        allowed = {"SECRET": {"USAGE", "READ", "MODIFY"}, "PROCEDURE": {"USAGE"}}[kind]
        if set(s.options["privileges"]) - allowed - {"ALL", "OWNERSHIP"}:
            raise Refusal(
                "003021", "0LP01", "SQL access control error:\nUnsupported privilege type."
            )
        self.need("TO" if verb == "grant" else "FROM")
        s.options["grantee"] = grantee = self.grantee()
        if s.options["privileges"] == ["OWNERSHIP"]:
            if verb == "revoke" or grantee.kind != "ROLE":
                raise self.unexpected()
            for copy in ("COPY", "REVOKE"):
                self.take(copy, "CURRENT", "GRANTS")
        elif verb == "grant" and grantee.kind != "APPLICATION":
            self.take("WITH", "GRANT", "OPTION")
        return self.end(s)

    def grantee(self) -> Grantee:
        if self.take("DATABASE", "ROLE"):
            return Grantee("DATABASE_ROLE", ".".join(self.name(2)))
        if self.take("APPLICATION", "ROLE"):
            return Grantee("APPLICATION_ROLE", ".".join(self.name(2)))
        if self.take("APPLICATION"):
            return Grantee("APPLICATION", self.part())
        self.take("ROLE")
        return Grantee("ROLE", self.part())

    def show_grants(self) -> Statement:
        self.need("ON", "SECRET")
        return self.end(Statement("show_grants", self.name()))

    # Procedures

    def create_procedure(self) -> Statement:
        s = Statement("create_procedure", or_replace=self.take("OR", "REPLACE"))
        self.take("SECURE")
        self.need("PROCEDURE")
        s.name = self.name()
        self.need("(", ")")
        s.options["copy_grants"] = self.take("COPY", "GRANTS")
        self.need("RETURNS")
        if not (self.take("VARCHAR") or self.take("STRING") or self.take("TEXT")):
            raise self.unexpected()
        self.take("NOT", "NULL")
        self.need("LANGUAGE", "PYTHON")
        while not self.take("AS"):
            self.procedure_option(s.options)
        s.options["body"] = self.string()
        for needed in ("RUNTIME_VERSION", "PACKAGES", "HANDLER"):
            if needed not in s.options:
                raise syntax_error(self.sql, self.words[-1].position, "AS")
        return self.end(s)

    def procedure_option(self, options: dict) -> None:
        if self.take("EXECUTE", "AS"):
            if not (self.take("OWNER") or self.take("CALLER")):
                raise self.unexpected()
            return
        readers = {
            "RUNTIME_VERSION": lambda: self.next("string", "number").value,
            "HANDLER": self.string,
            "COMMENT": self.string,
            "PACKAGES": lambda: self.listed(self.string),
            "EXTERNAL_ACCESS_INTEGRATIONS": lambda: self.listed(self.part),
            "SECRETS": lambda: dict(self.listed(self.secret_alias)),
        }
        option = self.next("word").value
        if option not in readers or option in options:
            self.at -= 1
            raise self.unexpected()
        self.need("=")
        options[option] = readers[option]()

    def secret_alias(self) -> tuple[str, Name]:
        alias = self.string()
        self.need("=")
        return alias, self.name()

    def listed(self, item) -> list:
        self.need("(")
        found = [item()]
        while self.take(","):
            found.append(item())
        self.need(")")
        return found

    def drop_procedure(self) -> Statement:
        s = Statement("drop_procedure", if_exists=self.take("IF", "EXISTS"))
        s.name = self.name()
        self.need("(", ")")
        return self.end(s)

    def call(self) -> Statement:
        s = Statement("call", self.name())
        self.need("(", ")")
        return self.end(s)

    # Set up by an administrator

    def create_schema(self) -> Statement:
        s = Statement("create_schema")
        self.need("SCHEMA")
        s.if_not_exists = self.take("IF", "NOT", "EXISTS")
        s.name = self.name(2)
        s.options["managed"] = self.take("WITH", "MANAGED", "ACCESS")
        return self.end(s)

    def drop_schema(self) -> Statement:
        s = Statement("drop_schema", if_exists=self.take("IF", "EXISTS"))
        s.name = self.name(2)
        return self.end(s)

    def create_role(self) -> Statement:
        s = Statement("create_role")
        self.need("ROLE")
        s.if_not_exists = self.take("IF", "NOT", "EXISTS")
        s.name = self.name(1)
        return self.end(s)

    def use(self, verb: str) -> Statement:
        return self.end(Statement(verb, self.name(1)))

    def alter_session(self) -> Statement:
        s = Statement("alter_session")
        while self.at < len(self.words):
            option = self.next("word").value
            if option not in ("QUERY_TAG", "STATEMENT_TIMEOUT_IN_SECONDS", "TIMEZONE"):
                self.at -= 1
                raise self.unexpected()
            self.need("=")
            s.options[option] = self.next("string", "number").value
            self.take(",")
        if not s.options:
            raise self.unexpected()
        return self.end(s)


def parse(sql: str, words: list[Token], binds: list | None, takes_binds: bool) -> Statement | None:
    """The statement, or nothing if it is for fakesnow."""
    p = Parser(sql, words, binds, takes_binds)
    for first, second, rule in _RULES:
        p.at = 0
        if not p.take(*first):
            continue
        after = p.at
        if first == ("CREATE",):
            p.take("OR", "REPLACE")
            p.take("SECURE")
        if p.take(*second):
            # Words before the object are for the rule of the object to judge.
            if first == ("CREATE",):
                p.at = after
            return rule(p)
    # DuckDB has secrets of its own, which fakesnow would hand the rest to.
    p.at = 0
    if not p.peek("ALTER", "CREATE", "DESC", "DESCRIBE", "DROP", "SHOW", "UNDROP"):
        return None
    p.at = 1
    while p.peek("OR", "REPLACE", "PERSISTENT", "SECURE", "TEMP", "TEMPORARY"):
        p.at += 1
    if p.peek("SECRET", "SECRETS"):
        raise p.unexpected()
    return None


_RULES = [
    (("CREATE",), ("SECRET",), Parser.create_secret),
    (("ALTER",), ("SECRET",), Parser.alter_secret),
    (("DROP",), ("SECRET",), Parser.drop_secret),
    (("DESC",), ("SECRET",), Parser.describe_secret),
    (("DESCRIBE",), ("SECRET",), Parser.describe_secret),
    (("SHOW",), ("SECRETS",), lambda p: p.show("show_secrets")),
    (("SHOW",), ("PROCEDURES",), lambda p: p.show("show_procedures")),
    (("SHOW",), ("GRANTS",), Parser.show_grants),
    (("GRANT",), (), lambda p: p.grant("grant")),
    (("REVOKE",), (), lambda p: p.grant("revoke")),
    (("CREATE",), ("PROCEDURE",), Parser.create_procedure),
    (("DROP",), ("PROCEDURE",), Parser.drop_procedure),
    (("CALL",), (), Parser.call),
    (("CREATE",), ("SCHEMA",), Parser.create_schema),
    (("DROP",), ("SCHEMA",), Parser.drop_schema),
    (("CREATE",), ("ROLE",), Parser.create_role),
    (("USE",), ("ROLE",), lambda p: p.use("use_role")),
    (("USE",), ("WAREHOUSE",), lambda p: p.use("use_warehouse")),
    (("ALTER",), ("SESSION", "SET"), Parser.alter_session),
]
