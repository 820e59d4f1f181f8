"""The vendor's own connector against the emulator: `official_client.py HOST PORT KEY.PEM`.

Prints one line of JSON per check, name and outcome; the test on the Rust side has the expectations.
Runs as much as the vendor's client can speak: it asks for Arrow and takes JSON.
"""

import datetime
import json
import sys

import snowflake.connector
from cryptography.hazmat.primitives import serialization


def main(host: str, port: str, key_file: str) -> None:
    with open(key_file, "rb") as file:
        pem = file.read()
    # The connector knows a key by its DER.
    key = serialization.load_pem_private_key(pem, None)
    connection = connect(host, port, key)
    cursor = connection.cursor()
    for name, check in CHECKS.items():
        try:
            outcome = check(cursor)
        except snowflake.connector.errors.Error as error:
            outcome = [f"{error.errno:06d}", error.sqlstate]
        print(json.dumps([name, outcome], default=str))
    connection.close()
    try:
        connect(host, port, key, user="NOBODY")
        outcome = "logged in"
    except snowflake.connector.errors.Error as error:
        outcome = [f"{error.errno:06d}", "JWT token is invalid" in str(error)]
    print(json.dumps(["unknown_user", outcome]))


def connect(host: str, port: str, key, user: str = "CLAVIGER_SVC"):
    der = key.private_bytes(
        serialization.Encoding.DER,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    return snowflake.connector.connect(
        host=host,
        port=int(port),
        protocol="http",
        account="xy12345",
        user=user,
        private_key=der,
        role="CLAVIGER",
        warehouse="CLAVIGER_WH",
        database="BROKER",
        schema="SECRETS",
        paramstyle="qmark",
        login_timeout=20,
        network_timeout=20,
    )


def ran(sql, binds=None):
    return lambda cursor: [list(row) for row in cursor.execute(sql, binds).fetchall()]


def columns(sql):
    return lambda cursor: [column.name for column in cursor.execute(sql).description]


def typed(cursor):
    """Every type that a table of ours has, there and back."""
    cursor.execute(
        "CREATE OR REPLACE TABLE TYPED (N NUMBER(18), S VARCHAR, B BINARY, T TIMESTAMP_TZ, "
        "D DATE, F BOOLEAN, X VARCHAR)"
    )
    when = datetime.datetime(2026, 1, 2, 3, 4, 5, 678901, datetime.UTC)
    sent = (42, "it's", b"\x00\xff", when, datetime.date(2026, 1, 2), True, None)
    cursor.execute("INSERT INTO TYPED SELECT ?, ?, ?, ?, ?, ?, ?", sent)
    (got,) = cursor.execute("SELECT N, S, B, T, D, F, X FROM TYPED").fetchall()
    as_utc = got[3].astimezone(datetime.UTC)
    return [a == b for a, b in zip(got[:3] + (as_utc,) + got[4:], sent, strict=True)]


def rolled_back(cursor):
    cursor.execute("CREATE OR REPLACE TABLE ROLLED (N NUMBER)")
    cursor.execute("BEGIN")
    cursor.execute("INSERT INTO ROLLED SELECT 1")
    cursor.execute("ROLLBACK")
    counted = cursor.execute("SELECT COUNT(*) AS C FROM ROLLED")
    return [row[0] == 0 for row in counted]


MERGE = """
MERGE INTO KV T USING (SELECT ? AS NAME, ? AS VERSION, ? AS EXPECTED) S ON T.NAME = S.NAME
WHEN MATCHED AND T.VERSION = S.EXPECTED THEN UPDATE SET VERSION = S.VERSION
WHEN NOT MATCHED THEN INSERT (NAME, VERSION) VALUES (S.NAME, S.VERSION)
"""

CHECKS = {
    "select": ran("SELECT 1 AS ONE, 'a' AS A, NULL AS N"),
    "create_table": ran("CREATE TABLE KV (NAME VARCHAR, VERSION NUMBER)"),
    "merge_inserts": ran(MERGE, ("k", 1, 0)),
    "merge_updates": ran(MERGE, ("k", 2, 1)),
    "merge_misses": ran(MERGE, ("k", 2, 1)),
    "typed": typed,
    "rolled_back": rolled_back,
    "missing_table": ran("SELECT * FROM NO_SUCH_TABLE"),
    "syntax_error": ran("SELEC 1"),
    "two_statements": ran("SELECT 1; SELECT 2"),
    "create_secret": ran(
        "CREATE SECRET IF NOT EXISTS \"s.One\" TYPE = GENERIC_STRING SECRET_STRING = ? COMMENT = ?",
        ("v1", "c1"),
    ),
    "create_again": ran(
        "CREATE SECRET IF NOT EXISTS \"s.One\" TYPE = GENERIC_STRING SECRET_STRING = 'v2'"
    ),
    "alter_secret": ran("ALTER SECRET \"s.One\" SET SECRET_STRING = ? COMMENT = ?", ("v3", "c3")),
    "show_columns": columns("SHOW SECRETS IN SCHEMA BROKER.SECRETS"),
    "describe_columns": columns('DESCRIBE SECRET "s.One"'),
    "describe": lambda cursor: [
        value for value in cursor.execute('DESC SECRET "s.One"').fetchone()[1:7]
    ],
    "create_reader": ran(
        "CREATE OR REPLACE PROCEDURE READERS.\"read_one\"() RETURNS VARCHAR LANGUAGE PYTHON "
        "RUNTIME_VERSION='3.12' PACKAGES=('snowflake-snowpark-python') HANDLER='h' "
        "EXTERNAL_ACCESS_INTEGRATIONS=(CLAVIGER_EAI) "
        "SECRETS=('cred'=BROKER.SECRETS.\"s.One\") EXECUTE AS OWNER AS $$\n"
        "import _snowflake\n"
        "def h(session): return _snowflake.get_generic_secret_string('cred')\n$$"
    ),
    "call_reader": ran('CALL READERS."read_one"()'),
    "drop_secret": ran('DROP SECRET "s.One"'),
    "missing_secret": ran('DESC SECRET "s.One"'),
}

if __name__ == "__main__":
    main(*sys.argv[1:])
