"""Log-ins, and the sessions that come of them.

The key pair is made anew for each emulator. A token is checked as documented: its signature by
the user's public key, whose fingerprint it has to name, the account and user, and its times.
Passwords, OAuth and multi-factor authentication are not here.
"""

import base64
import hashlib
import secrets
import time
import uuid
from dataclasses import dataclass

import jwt
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from .objects import ROLE, WAREHOUSE, Objects
from .refusal import Refusal
from .tables import TableSession, Tables

ACCOUNT = "XY12345"
USER = "CLAVIGER_SVC"
TOKEN_LIFE_MAX = 3600


@dataclass
class Session:
    token: str
    master: str
    number: int
    role: str
    warehouse: str | None
    tables: TableSession
    # The code that every request is refused with, once it has ended.
    ended: str | None = None


class Logins:
    def __init__(self):
        self.key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        self.sessions: dict[str, Session] = {}
        self.tried = 0

    def fingerprint(self) -> str:
        der = self.key.public_key().public_bytes(
            serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
        )
        return "SHA256:" + base64.b64encode(hashlib.sha256(der).digest()).decode()

    def token(self, changes: dict) -> str:
        """The token that a client would make of the user's key, but for the changes.

        A change to null removes, and times count from now.
        """
        user = f"{ACCOUNT}.{USER}"
        claims = {"iss": f"{user}.{self.fingerprint()}", "sub": user, "iat": 0, "exp": 600}
        claims = {k: v for k, v in (claims | changes).items() if v is not None}
        now = int(time.time())
        claims |= {k: now + claims[k] for k in ("iat", "exp") if k in claims}
        return jwt.encode(claims, self.key, algorithm="RS256")

    def check(self, token: str, login_name: str) -> None:
        user = f"{ACCOUNT}.{USER}"
        try:
            claims = jwt.decode(
                token,
                self.key.public_key(),
                algorithms=["RS256"],
                issuer=f"{user}.{self.fingerprint()}",
                subject=user,
                options={"require": ["exp", "iat", "iss", "sub"]},
            )
            is_good = claims["exp"] - claims["iat"] <= TOKEN_LIFE_MAX
        except jwt.InvalidTokenError:
            is_good = False
        if not is_good or login_name.upper() != USER:
            raise invalid_token()

    def open(self, query: dict, data: dict, objects: Objects, tables: Tables) -> Session:
        if data.get("AUTHENTICATOR", "").upper() != "SNOWFLAKE_JWT":
            text = "Incorrect username or password was specified."
            raise Refusal("390100", "08001", text)
        self.check(data.get("TOKEN", ""), data.get("LOGIN_NAME", ""))
        role = _identifier(query.get("roleName")) or ROLE
        if role not in (ROLE, "PUBLIC"):
            text = (
                f"Role '{role}' specified in the connect string does not exist or not authorized."
                " Contact your local system administrator, or attempt to login with another role,"
                " e.g. PUBLIC."
            )
            raise Refusal("390189", "08001", text)
        # As the service does: an object that is not there leaves the session without one.
        database = _identifier(query.get("databaseName"))
        schema = _identifier(query.get("schemaName"))
        if database not in {schema[0] for schema in objects.schemas}:
            database = schema = None
        elif (database, schema) not in objects.schemas:
            schema = None
        warehouse = _identifier(query.get("warehouse"))
        session = Session(
            secrets.token_urlsafe(48),
            secrets.token_urlsafe(48),
            len(self.sessions) + 1,
            role,
            warehouse if warehouse == WAREHOUSE else None,
            tables.session(database, schema),
        )
        self.sessions[session.token] = session
        return session

    def session(self, authorization: str) -> Session:
        token = authorization.removeprefix('Snowflake Token="').removesuffix('"')
        session = self.sessions.get(token)
        if session is None:
            raise ended("390104")
        if session.ended is not None:
            raise ended(session.ended)
        return session

    def renew(self, authorization: str) -> Session:
        """A new token for an old session, in exchange for its master token."""
        master = authorization.removeprefix('Snowflake Token="').removesuffix('"')
        for session in list(self.sessions.values()):
            if session.master != master:
                continue
            if session.ended not in (None, "390112"):
                raise ended(session.ended)
            del self.sessions[session.token]
            session.token, session.ended = secrets.token_urlsafe(48), None
            self.sessions[session.token] = session
            return session
        raise ended("390114")

    def private_key(self, password: str | None, known: bool, bits: int) -> str:
        key = self.key if known else rsa.generate_private_key(65537, bits)
        encryption = (
            serialization.BestAvailableEncryption(password.encode())
            if password
            else serialization.NoEncryption()
        )
        pem = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, encryption
        )
        return pem.decode()


def session_data(session: Session) -> dict:
    """The answer to a good login."""
    return {
        "masterToken": session.master,
        "token": session.token,
        "validityInSeconds": 3600,
        "masterValidityInSeconds": 14400,
        "displayUserName": USER,
        "serverVersion": "9.37.1",
        "sessionId": session.number,
        "parameters": [
            {"name": "AUTOCOMMIT", "value": True},
            {"name": "TIMEZONE", "value": "Etc/UTC"},
            {"name": "CLIENT_STAGE_ARRAY_BINDING_THRESHOLD", "value": 0},
        ],
        "sessionInfo": {
            "databaseName": session.tables.database,
            "schemaName": session.tables.schema,
            "warehouseName": session.warehouse,
            "roleName": session.role,
        },
        "serverTime": int(time.time() * 1000),
    }


def invalid_token() -> Refusal:
    return Refusal("390144", "08001", f"JWT token is invalid. [{uuid.uuid4()}]")


def ended(code: str) -> Refusal:
    texts = {
        "390111": "Session no longer exists.  New login required to access the service.",
        "390112": "Your session has expired. Please login again.",
        "390114": "Authentication token has expired.  The user must authenticate again.",
    }
    text = texts.get(code, "User must login again to access the service.")
    return Refusal(code, "08001", text)


def _identifier(text: str | None) -> str | None:
    if text and text.startswith('"'):
        return text[1:-1].replace('""', '"')
    return text and text.upper()
