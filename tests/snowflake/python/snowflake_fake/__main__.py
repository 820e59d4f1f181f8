"""An emulator of Snowflake for tests: `python -m snowflake_fake`.

Says `listening on HOST:PORT` when it is ready and ends when its standard input does, so that it
outlives nobody.

By fakesnow, which runs on DuckDB: all SQL on tables, transactions, SHOW and DESCRIBE of tables,
and the error numbers of these.

By us, and so no more than a reading of the documentation and of recorded answers:
* the HTTP protocol in JSON, key-pair logins, sessions and their renewal, the warehouse
  (http1.py, login.py, service.py);
* secrets, reader procedures, grants on both and schemas with managed access, which no emulator
  has (lexer.py, grammar.py, objects.py);
* faults, counts and the administrator's console (faults.py, control.py).

Where it differs from the service, so that no test leans on it: names of tables and columns are
compared without regard to case even if quoted; NUMBER has 64 bits; a declared primary key is
enforced; two transactions that change one row do not wait for each other, and a MERGE in a
transaction is refused; every role may do everything with tables; statements have no time-out and
cannot be cancelled.
"""

import asyncio
import os
import sys
import warnings

# Of DuckDB about fakesnow, for each statement.
warnings.filterwarnings("ignore", message="Arrow output on a DB-API result")

from .http1 import serve  # noqa: E402
from .service import Service  # noqa: E402


async def main() -> None:
    service = Service()
    server = await serve(service.handle)
    host, port = server.sockets[0].getsockname()
    print(f"listening on {host}:{port}", flush=True)
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
    # Nothing is worth keeping, and connections that are open would only complain.
    os._exit(0)


asyncio.run(main())
