"""From an HTTP request to its answer: the protocol of the drivers, in JSON.

Results in Arrow or in chunks, asynchronous queries and the SQL API are not here.
"""

import asyncio
import uuid

from .control import Control
from .faults import Faults
from .grammar import parse
from .http1 import Answer, Request
from .lexer import spaced, tokens
from .login import Logins, Session, session_data
from .objects import ADMIN, WAREHOUSE, Context, Objects, Result
from .refusal import Refusal, no_object, no_warehouse
from .tables import Tables

_DDL, _SHOW = 0x6000, 0x4400

# Verbs that work without a warehouse, as documented: the rest computes.
_NO_WAREHOUSE_NEEDED = {
    "ALTER", "BEGIN", "COMMIT", "CREATE", "DESC", "DESCRIBE", "DROP", "GRANT", "REVOKE",
    "ROLLBACK", "SET", "SHOW", "START", "TRUNCATE", "UNSET", "USE",
}  # fmt: skip


class Service:
    def __init__(self):
        self.objects = Objects()
        self.tables = Tables([schema for _, schema in self.objects.schemas])
        self.logins = Logins()
        self.faults = Faults()
        self.requests: list[Request] = []
        self.statements: list[str] = []
        self.executed: list[str] = []
        self.is_warehouse_running = True
        self.takes_binds_in_secrets = True
        self.console = self.tables.session("BROKER", "SECRETS")
        self.control = Control(self)

    async def handle(self, request: Request) -> Answer:
        if request.path == "/_control":
            return await self.control.handle(request)
        self.requests.append(request)
        routes = {
            "/session/v1/login-request": self.login,
            "/session/token-request": self.renew,
            "/session/heartbeat": self.keep_alive,
            "/session": self.close,
            "/queries/v1/query-request": self.query,
            "/queries/v1/abort-request": self.keep_alive,
            "/telemetry/send": self.keep_alive,
        }
        route = routes.get(request.path)
        if route is None:
            return Answer({"success": False, "message": "Not found.", "data": None}, 404)
        try:
            return await route(request)
        except Refusal as refusal:
            return refused(refusal)

    # Sessions

    async def login(self, request: Request) -> Answer:
        self.logins.tried += 1
        self.faults.changed()
        fault = self.faults.next(None)
        instead = await self.faults.before(fault)
        if instead is not None:
            return instead
        data = request.json()["data"]
        session = await self.on_thread(
            self.logins.open, request.query, data, self.objects, self.tables
        )
        return await self.faults.after(fault, accepted(session_data(session)))

    async def renew(self, request: Request) -> Answer:
        session = self.logins.renew(request.headers.get("authorization", ""))
        return accepted(
            {
                "sessionToken": session.token,
                "validityInSecondsST": 3600,
                "masterToken": session.master,
                "validityInSecondsMT": 14400,
                "sessionId": session.number,
            }
        )

    async def keep_alive(self, request: Request) -> Answer:
        self.session(request)
        return accepted(None)

    async def close(self, request: Request) -> Answer:
        session = self.session(request)
        if request.query.get("delete"):
            del self.logins.sessions[session.token]
        return accepted(None)

    def session(self, request: Request) -> Session:
        return self.logins.session(request.headers.get("authorization", ""))

    # Statements

    async def query(self, request: Request) -> Answer:
        asked = request.json()
        sql = asked["sqlText"]
        self.statements.append(sql)
        session = self.session(request)
        fault = self.faults.next(sql)
        instead = await self.faults.before(fault)
        if instead is not None:
            return instead
        result, kind = await self.on_thread(self.execute, session, sql, asked.get("bindings"))
        self.executed.append(sql)
        self.faults.changed()
        answer = accepted(
            {
                "parameters": [{"name": "TIMEZONE", "value": "Etc/UTC"}],
                "rowtype": [_column(name, type_) for name, type_ in result.columns],
                "rowset": result.rows,
                "total": len(result.rows),
                "returned": len(result.rows),
                "queryId": str(uuid.uuid4()),
                "queryResultFormat": "json",
                "statementTypeId": kind,
                "finalDatabaseName": session.tables.database,
                "finalSchemaName": session.tables.schema,
                "finalWarehouseName": session.warehouse,
                "finalRoleName": session.role,
            }
        )
        return await self.faults.after(fault, answer)

    def execute(self, session: Session, sql: str, bindings: dict | None) -> tuple[Result, int]:
        words = tokens(sql)
        first = words[0].text.upper() if words else ""
        is_idle = session.warehouse is None or not self.is_warehouse_running
        if is_idle and first not in _NO_WAREHOUSE_NEEDED and session.role != ADMIN:
            raise no_warehouse()
        statement = parse(sql, words, positional(bindings), self.takes_binds_in_secrets)
        if statement is None:
            return session.tables.execute(spaced(sql, words), bindings)
        cx = Context(
            session.role, session.tables.database, session.tables.schema, session.warehouse
        )
        kind = _SHOW if first in ("SHOW", "DESC", "DESCRIBE", "CALL") else _DDL
        return self.execute_ours(session, statement, cx, sql), kind

    def execute_ours(self, session, statement, cx: Context, sql: str) -> Result:
        match statement.verb:
            case "alter_session":
                return Result.status("Statement executed successfully.")
            case "use_role":
                if statement.name[0] != session.role:
                    text = (
                        "SQL access control error:\nRequested role is not assigned to the "
                        "executing user. Specify another role to activate."
                    )
                    raise Refusal("003013", "42501", text)
                return Result.status("Statement executed successfully.")
            case "use_warehouse":
                if statement.name[0] != WAREHOUSE:
                    raise no_object()
                session.warehouse = WAREHOUSE
                return Result.status("Statement executed successfully.")
            case "create_schema" | "drop_schema":
                self.objects.execute(statement, cx)
                # Managed access is ours; the schema itself has to be there for tables.
                plain = sql.upper().find(" WITH MANAGED ACCESS")
                plain = sql if plain < 0 else sql[:plain]
                return session.tables.execute(plain, None)[0]
        return self.objects.execute(statement, cx)

    async def on_thread(self, work, *arguments):
        """One statement at a time, so that each sees the others whole or not at all."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self.tables.thread, work, *arguments)


def positional(bindings: dict | None) -> list:
    bindings = bindings or {}
    return [bindings[key]["value"] for key in sorted(filter(str.isdigit, bindings), key=int)]


def accepted(data) -> Answer:
    return Answer({"data": data, "code": None, "message": None, "success": True})


def refused(refusal: Refusal) -> Answer:
    if refusal.code == "401":
        body = {"data": None, "code": "390104", "message": refusal.message, "success": False}
        return Answer(body, 401)
    is_session = refusal.code.startswith("39")
    data = {
        "internalError": False,
        "errorCode": refusal.code,
        "age": 0,
        "sqlState": refusal.sql_state,
        "queryId": str(uuid.uuid4()),
    }
    return Answer(
        {
            "data": None if is_session else data,
            "code": refusal.code,
            "message": refusal.message,
            "success": False,
            "headers": None,
        }
    )


def _column(name: str, type_: str) -> dict:
    is_number = type_ == "fixed"
    is_time = type_.startswith("time")
    length = {"text": 16777216, "binary": 8388608}.get(type_)
    return {
        "name": name,
        "database": "",
        "schema": "",
        "table": "",
        "nullable": True,
        "type": type_,
        "length": length,
        "byteLength": length,
        "precision": 38 if is_number else 0 if is_time else None,
        "scale": 0 if is_number else 9 if is_time else None,
        "collation": None,
    }
