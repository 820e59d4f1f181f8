"""Secrets, the procedures that read them, and privileges, all of which fakesnow has not got.

The privileges are the documented ones of secrets, procedures and schemas with managed access;
those of databases, warehouses and tables are not here, and an administrator may do everything.
Texts that no recording exists for follow the documented pattern.
"""

import builtins
import datetime
import re
import types
from dataclasses import dataclass, field

from .grammar import Grantee, Name, Statement
from .refusal import Refusal, exists, insufficient, missing, no_object, no_schema

ADMIN = "ACCOUNTADMIN"
DATABASE = "BROKER"
INTEGRATION = "CLAVIGER_EAI"
ROLE = "CLAVIGER"
WAREHOUSE = "CLAVIGER_WH"

# As documented for every SHOW command.
SHOWN_ROWS_MAX = 10_000


@dataclass
class Context:
    """The part of a session that matters to a statement."""

    role: str
    database: str | None
    schema: str | None
    warehouse: str | None


@dataclass
class Result:
    """Columns as (name, type) and rows of texts."""

    columns: list[tuple[str, str]]
    rows: list[list[str | None]]

    @staticmethod
    def status(text: str) -> "Result":
        return Result([("status", "text")], [[text]])


@dataclass
class Owned:
    """The common part of secrets and procedures."""

    owner: str
    created: str
    grants: dict[Grantee, set[str]] = field(default_factory=dict)

    def held_by(self, role: str) -> set[str]:
        if role in (ADMIN, self.owner):
            return {"OWNERSHIP", "USAGE", "READ", "MODIFY"}
        return self.grants.get(Grantee("ROLE", role), set())


@dataclass
class Secret(Owned):
    string: str = ""
    comment: str = ""
    times_set: int = 1


@dataclass
class Procedure(Owned):
    secrets: dict[str, Name] = field(default_factory=dict)
    body: str = ""
    handler: str = ""


class Objects:
    """Everything of the account that is not a table."""

    def __init__(self):
        # The value says whether access is managed.
        self.schemas = {
            (DATABASE, "SECRETS"): False,
            (DATABASE, "MANAGED"): True,
            (DATABASE, "READERS"): False,
            (DATABASE, "PUBLIC"): False,
        }
        self.grantees = {
            Grantee("ROLE", ADMIN),
            Grantee("ROLE", "PUBLIC"),
            Grantee("ROLE", ROLE),
            Grantee("ROLE", "RUNNER"),
            Grantee("APPLICATION", "MATILLION_DATA_PRODUCTIVITY_CLOUD"),
        }
        self.secrets: dict[Name, Secret] = {}
        self.procedures: dict[Name, Procedure] = {}

    def execute(self, statement: Statement, cx: Context) -> Result:
        return getattr(self, statement.verb)(statement, cx)

    # Names

    def resolve(self, name: Name, cx: Context, verb: str) -> Name:
        if len(name) < 3 and not cx.database or len(name) < 2 and not cx.schema:
            raise no_schema(verb)
        if len(name) == 1:
            name = (cx.schema, *name)
        return name if len(name) == 3 else (cx.database, *name)

    def need_schema(self, full: Name) -> None:
        if full[:2] not in self.schemas:
            raise missing("Schema", ".".join(full[:2]))

    def held(self, kind: str):
        return self.secrets if kind == "secret" else self.procedures

    def drop(self, kind: str, s: Statement, cx: Context) -> Result:
        full, thing = self.found(kind, s, cx)
        if thing is None:
            text = f"Drop statement executed successfully ({full[2]} already dropped)."
            return Result.status(text)
        if "OWNERSHIP" not in thing.held_by(cx.role):
            raise insufficient(kind, full[2])
        del self.held(kind)[full]
        return Result.status(f"{full[2]} successfully dropped.")

    def found(self, kind: str, s: Statement, cx: Context):
        """The object with its full name; nothing if it is absent and may be."""
        full = self.resolve(s.name, cx, s.verb.split("_")[0].upper())
        if full[:2] not in self.schemas and not s.if_exists:
            self.need_schema(full)
        thing = self.held(kind).get(full)
        if thing is not None and thing.held_by(cx.role):
            return full, thing
        if s.if_exists:
            return full, None
        raise missing(kind.capitalize(), ".".join(full))

    # Secrets

    def create_secret(self, s: Statement, cx: Context) -> Result:
        full = self.resolve(s.name, cx, "CREATE SECRET")
        self.need_schema(full)
        before = self.secrets.get(full)
        if before is not None:
            if s.if_not_exists:
                return Result.status(f"{full[2]} already exists, statement succeeded.")
            if not s.or_replace:
                raise exists(".".join(full))
            if "OWNERSHIP" not in before.held_by(cx.role):
                raise insufficient("secret", full[2])
        self.secrets[full] = Secret(
            cx.role, now(), string=s.options["string"], comment=s.options.get("comment", "")
        )
        return Result.status(f"Secret {full[2]} successfully created.")

    def alter_secret(self, s: Statement, cx: Context) -> Result:
        full, secret = self.found("secret", s, cx)
        if secret is not None:
            if not {"OWNERSHIP", "MODIFY"} & secret.held_by(cx.role):
                raise insufficient("secret", full[2])
            if "string" in s.options:
                secret.string = s.options["string"]
                secret.times_set += 1
            secret.comment = s.options.get("comment", secret.comment)
        return Result.status("Statement executed successfully.")

    def drop_secret(self, s: Statement, cx: Context) -> Result:
        return self.drop("secret", s, cx)

    def describe_secret(self, s: Statement, cx: Context) -> Result:
        full, secret = self.found("secret", s, cx)
        columns = [("created_on", "timestamp_ltz")] + _texts(
            "name schema_name database_name owner comment secret_type username "
            "oauth_access_token_expiry_time oauth_refresh_token_expiry_time "
            "oauth_scopes integration_name"
        )
        row = self.described(full, secret) + [None] * 5
        return Result(columns, [row])

    def show_secrets(self, s: Statement, cx: Context) -> Result:
        columns = [("created_on", "timestamp_ltz")] + _texts(
            "name schema_name database_name owner comment secret_type oauth_scopes owner_role_type"
        )
        rows = [
            self.described(full, secret) + [None, "ROLE"]
            for full, secret in self.shown(self.secrets, s, cx)
        ]
        return Result(columns, rows)

    def described(self, full: Name, secret: Secret) -> list[str | None]:
        comment = secret.comment or None
        return [
            secret.created, full[2], full[1], full[0], secret.owner, comment, "GENERIC_STRING"
        ]  # fmt: skip

    def shown(self, held: dict, s: Statement, cx: Context) -> list:
        scope = s.options.get("scope") or ("database" if cx.database else "account")
        within = s.name
        if scope == "schema" and len(within) < 2:
            within = (cx.database, *(within or (cx.schema,)))
            scope = scope if None not in within else "account"
        elif scope == "database" and not within:
            within = (cx.database,)
        if scope == "schema" and within not in self.schemas:
            raise no_object()
        if scope == "database" and within[0] not in {schema[0] for schema in self.schemas}:
            raise no_object()
        fits = _like(s.options["like"]) if "like" in s.options else lambda _: True
        found = [
            (full, thing)
            for full, thing in sorted(held.items())
            if (scope == "account" or full[: len(within)] == within)
            and fits(full[2])
            and thing.held_by(cx.role)
        ]
        return found[:SHOWN_ROWS_MAX]

    # Grants

    def grant(self, s: Statement, cx: Context) -> Result:
        full, thing, kind = self.granted(s, cx)
        grantee, privileges = s.options["grantee"], s.options["privileges"]
        if privileges == ["OWNERSHIP"]:
            thing.owner = grantee.name
        else:
            thing.grants.setdefault(grantee, set()).update(_spelled_out(privileges, kind))
        return Result.status("Statement executed successfully.")

    def revoke(self, s: Statement, cx: Context) -> Result:
        full, thing, kind = self.granted(s, cx)
        held = thing.grants.setdefault(s.options["grantee"], set())
        held.difference_update(_spelled_out(s.options["privileges"], kind))
        return Result.status("Statement executed successfully.")

    def granted(self, s: Statement, cx: Context):
        kind = s.options["kind"].lower()
        full, thing = self.found(kind, s, cx)
        # The text of the service is not recorded; the code is that of every lack of privilege.
        may = cx.role == ADMIN or (cx.role == thing.owner and not self.schemas[full[:2]])
        if not may:
            raise insufficient(kind, full[2])
        grantee = s.options["grantee"]
        if grantee not in self.grantees:
            raise missing(grantee.kind.replace("_", " ").capitalize(), grantee.name)
        return full, thing, kind

    def show_grants(self, s: Statement, cx: Context) -> Result:
        full, secret = self.found("secret", s, cx)
        columns = [("created_on", "timestamp_ltz")] + _texts(
            "privilege granted_on name granted_to grantee_name grant_option granted_by"
        )
        name = ".".join(full)
        held = [(Grantee("ROLE", secret.owner), {"OWNERSHIP"}), *secret.grants.items()]
        rows = [
            [secret.created, privilege, "SECRET", name, who.kind, who.name, "false", secret.owner]
            for who, privileges in held
            for privilege in sorted(privileges)
        ]
        return Result(columns, rows)

    # Procedures

    def create_procedure(self, s: Statement, cx: Context) -> Result:
        full = self.resolve(s.name, cx, "CREATE PROCEDURE")
        self.need_schema(full)
        before = self.procedures.get(full)
        if before is not None:
            if not s.or_replace:
                raise exists(".".join(full))
            if "OWNERSHIP" not in before.held_by(cx.role):
                raise insufficient("procedure", full[2])
        for integration in s.options.get("EXTERNAL_ACCESS_INTEGRATIONS", []):
            if integration != INTEGRATION:
                raise missing("Integration", integration)
        aliases = {
            alias: self.readable(name, cx)
            for alias, name in s.options.get("SECRETS", {}).items()
        }
        # That a secret has to be allowed by an integration is documented; the code is ours.
        if aliases and not s.options.get("EXTERNAL_ACCESS_INTEGRATIONS"):
            text = "SQL compilation error:\nNo external access integration allows the secrets."
            raise Refusal("001003", "42000", text)
        made = Procedure(
            cx.role, now(), secrets=aliases, body=s.options["body"], handler=s.options["HANDLER"]
        )
        if before is not None and s.options["copy_grants"]:
            made.grants = before.grants
        self.procedures[full] = made
        return Result.status(f"Function {full[2]} successfully created.")

    def readable(self, name: Name, cx: Context) -> Name:
        full = self.resolve(name, cx, "CREATE PROCEDURE")
        secret = self.secrets.get(full)
        if secret is None or not secret.held_by(cx.role):
            raise missing("Secret", ".".join(full))
        if "READ" not in secret.held_by(cx.role):
            raise insufficient("secret", full[2])
        return full

    def drop_procedure(self, s: Statement, cx: Context) -> Result:
        return self.drop("procedure", s, cx)

    def show_procedures(self, s: Statement, cx: Context) -> Result:
        columns = [("created_on", "timestamp_ltz")] + _texts("name schema_name catalog_name")
        rows = [
            [procedure.created, full[2], full[1], full[0]]
            for full, procedure in self.shown(self.procedures, s, cx)
        ]
        return Result(columns, rows)

    def call(self, s: Statement, cx: Context) -> Result:
        """Runs the handler as Python does, with the rights of the procedure's owner."""
        full = self.resolve(s.name, cx, "CALL")
        procedure = self.procedures.get(full)
        if procedure is None or "USAGE" not in procedure.held_by(cx.role):
            name = ".".join(full)
            text = f"SQL compilation error:\nUnknown user-defined function {name}."
            raise Refusal("002141", "42601", text)
        owner = Context(procedure.owner, cx.database, cx.schema, cx.warehouse)

        def get_generic_secret_string(alias):
            name = procedure.secrets[alias]
            return self.secrets[self.readable(name, owner)].string

        module = types.SimpleNamespace(get_generic_secret_string=get_generic_secret_string)
        scope = {"__builtins__": {**vars(builtins), "__import__": _importer(module)}}
        try:
            exec(procedure.body, scope)
            value = scope[procedure.handler](None)
        except Refusal:
            raise
        except Exception as error:
            text = f"Python Interpreter Error:\n{type(error).__name__} in function {full[2]}"
            raise Refusal("100357", "P0000", text) from error
        return Result([(full[2], "text")], [[value]])

    # Set up by an administrator

    def create_schema(self, s: Statement, cx: Context) -> None:
        full = s.name if len(s.name) == 2 else (cx.database, *s.name)
        if full in self.schemas and not s.if_not_exists:
            raise exists(full[1])
        self.schemas.setdefault(full, s.options["managed"])

    def drop_schema(self, s: Statement, cx: Context) -> None:
        full = s.name if len(s.name) == 2 else (cx.database, *s.name)
        if self.schemas.pop(full, None) is None and not s.if_exists:
            raise missing("Schema", ".".join(full))
        for held in (self.secrets, self.procedures):
            for name in [name for name in held if name[:2] == full]:
                del held[name]

    def create_role(self, s: Statement, cx: Context) -> Result:
        if cx.role != ADMIN:
            raise insufficient("account", "XY12345")
        self.grantees.add(Grantee("ROLE", s.name[0]))
        return Result.status(f"Role {s.name[0]} successfully created.")


def _texts(names: str) -> list[tuple[str, str]]:
    return [(name, "text") for name in names.split()]


def _spelled_out(privileges: list[str], kind: str) -> set[str]:
    if privileges != ["ALL"]:
        return set(privileges)
    return {"USAGE", "READ", "MODIFY"} if kind == "secret" else {"USAGE"}


def _like(pattern: str):
    """Without regard to case, and a backslash takes the next character as it is."""
    parts = re.findall(r"\\.|.", pattern, re.DOTALL)
    wild = {"%": ".*", "_": "."}
    expression = "".join(wild.get(part, re.escape(part[-1])) for part in parts)
    compiled = re.compile(expression, re.IGNORECASE | re.DOTALL)
    return lambda name: compiled.fullmatch(name)


def _importer(module):
    def imported(name, *_):
        if name != "_snowflake":
            raise ModuleNotFoundError(name)
        return module

    return imported


def now() -> str:
    return f"{datetime.datetime.now(datetime.UTC).timestamp():.9f}"
