"""The way of the tests past the protocol: faults, counts, and the console of an administrator.

One endpoint, `POST /_control` with `{"verb": .., "arguments": {..}}`. Nothing here is recorded or
counted as a request.
"""

from .http1 import Answer, Request
from .objects import ADMIN, DATABASE, ROLE, WAREHOUSE, Secret, now
from .refusal import Refusal


class Control:
    def __init__(self, service):
        self.service = service

    async def handle(self, request: Request) -> Answer:
        asked = request.json()
        try:
            verb = getattr(self, f"do_{asked['verb']}")
            return Answer({"answer": await verb(**asked["arguments"])})
        except Refusal as refusal:
            return Answer(
                {
                    "refusal": {
                        "code": refusal.code,
                        "sql_state": refusal.sql_state,
                        "message": refusal.message,
                    }
                }
            )

    # Faults and counts

    async def do_fault(self, **fault):
        self.service.faults.add(fault)

    async def do_release(self):
        self.service.faults.release()

    async def do_held(self, count: int):
        faults = self.service.faults
        await faults.until(lambda: faults.held >= count)

    async def do_executed(self, count: int, matching: str):
        executed = self.service.executed
        await self.service.faults.until(lambda: _matching(executed, matching) >= count)

    async def do_expire_sessions(self, code: str):
        for session in self.service.logins.sessions.values():
            session.ended = code

    async def do_warehouse(self, running: bool):
        self.service.is_warehouse_running = running

    async def do_binds_in_secrets(self, takes: bool):
        self.service.takes_binds_in_secrets = takes

    async def do_requests(self):
        return [{"path": r.target, "body": r.body} for r in self.service.requests]

    async def do_logins(self):
        return self.service.logins.tried

    async def do_statements(self, matching: str):
        return _matching(self.service.statements, matching)

    async def do_private_key(self, password: str | None, known: bool, bits: int = 2048):
        return self.service.logins.private_key(password, known, bits)

    async def do_login_token(self, changes: dict):
        return self.service.logins.token(changes)

    async def do_issue_session(self):
        service = self.service
        names = {"databaseName": DATABASE, "schemaName": "SECRETS", "warehouse": WAREHOUSE}
        token = {
            "AUTHENTICATOR": "SNOWFLAKE_JWT",
            "LOGIN_NAME": "CLAVIGER_SVC",
            "TOKEN": service.logins.token({}),
        }
        opened = (names, token, service.objects, service.tables)
        session = await service.on_thread(service.logins.open, *opened)
        return session.token

    # The console

    async def do_console(self, sql: str):
        result, _ = await self.service.on_thread(self.run, sql)
        return result.rows

    def run(self, sql: str):
        return self.service.execute(Administrator(self.service.console), sql, None)

    async def do_put_secret(self, schema: str, name: str, string: str):
        await self.service.on_thread(self.put_secret, (DATABASE, schema, name), string)

    def put_secret(self, full: tuple, string: str):
        objects = self.service.objects
        objects.need_schema(full)
        secret = objects.secrets.get(full)
        if secret is None:
            objects.secrets[full] = Secret(ROLE, now(), string=string)
            return
        secret.string = string
        secret.times_set += 1

    async def do_secret(self, schema: str, name: str):
        secret = self.service.objects.secrets.get((DATABASE, schema, name))
        if secret is None:
            return None
        return {
            "string": secret.string,
            "comment": secret.comment,
            "times_set": secret.times_set,
            "grants": [
                {"privilege": privilege, "grantee_kind": who.kind, "grantee": who.name}
                for who, privileges in secret.grants.items()
                for privilege in privileges
            ],
        }

    async def do_secret_names(self, schema: str):
        return _names(self.service.objects.secrets, schema)

    async def do_procedure_names(self, schema: str):
        return _names(self.service.objects.procedures, schema)

    async def do_swap(self, table: str, columns: list[str], one: str, other: str):
        await self.service.on_thread(self.swap, table, columns, one, other)

    def swap(self, table: str, columns: list[str], one: str, other: str):
        """Straight in the engine: a joined UPDATE is not under test."""
        connection = self.service.console.connection._duck_conn
        listed = ", ".join(columns)
        rows = []
        for condition in (one, other):
            found = connection.execute(f"SELECT rowid, {listed} FROM {table} WHERE {condition}")
            found = found.fetchall()
            if len(found) != 1:
                raise Refusal("000000", "00000", f"{condition}: {len(found)} rows")
            rows.append(found[0])
        assigned = ", ".join(f"{column} = ?" for column in columns)
        for (row, *_), (_, *values) in (rows, reversed(rows)):
            connection.execute(f"UPDATE {table} SET {assigned} WHERE rowid = ?", [*values, row])


class Administrator:
    """A session that may do everything."""

    role = ADMIN

    def __init__(self, tables):
        self.tables = tables
        self.warehouse = WAREHOUSE


def _matching(statements: list[str], matching: str) -> int:
    return sum(matching.upper() in sql.upper() for sql in statements)


def _names(held: dict, schema: str) -> list[str]:
    return sorted(full[2] for full in held if full[:2] == (DATABASE, schema))
