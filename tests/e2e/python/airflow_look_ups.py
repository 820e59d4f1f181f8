"""Looks up connections and variables as a task does: run by tests/all/pipelines/airflow.rs.

usage: airflow_look_ups.py {conn:ID | var:KEY | forks:COUNT}..., with EXPECTED in the environment
Prints a line for each, and never a value.
"""

import os
import sys

from airflow.sdk import Connection, Variable


def look_up(sort, key):
    try:
        value = Connection.get(key).password if sort == "conn" else Variable.get(key)
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    return {os.environ["EXPECTED"]: "from Claviger", "older": "from an older place"}.get(value)


def forks(count):
    """Looks up and forks, time after time; returns how many children could look up too."""
    good = 0
    for _ in range(count):
        look_up("conn", "warehouse")
        child = os.fork()
        if child == 0:
            os._exit(0 if look_up("conn", "warehouse") == "from Claviger" else 1)
        good += os.waitpid(child, 0)[1] == 0
    return f"{good} children"


for argument in sys.argv[1:]:
    sort, _, rest = argument.partition(":")
    outcome = forks(int(rest)) if sort == "forks" else look_up(sort, rest)
    print(f"{argument}: {outcome}", flush=True)
