"""The backend of Airflow against a daemon of ours that is away at first: run by
tests/all/pipelines/airflow.rs.

usage: airflow_pauses.py SOCKET
"""

import asyncio
import sys

from airflow.sdk.log import redact
from claviger.v1 import secret_service_pb2 as pb
from claviger_airflow import ClavigerBackend, ClavigerError
from google.protobuf.duration_pb2 import Duration
from google.rpc.error_details_pb2 import ErrorInfo, RetryInfo
from grpclib import GRPCError, Status
from grpclib.const import Cardinality, Handler
from grpclib.server import Server

VALUE = "canary-7c1e"


class Daemon:
    """Fails as often as told, then answers."""

    def __init__(self):
        self.failures = []
        self.asked = []

    async def get_secret(self, stream):
        request = await stream.recv_message()
        self.asked.append((request.name, request.environment, asyncio.get_running_loop().time()))
        if self.failures:
            raise self.failures.pop(0)
        await stream.send_message(pb.GetSecretResponse(text=VALUE))

    def __mapping__(self):
        types = (Cardinality.UNARY_UNARY, pb.GetSecretRequest, pb.GetSecretResponse)
        return {"/claviger.v1.SecretService/GetSecret": Handler(self.get_secret, *types)}


def failure(status, reason, *more):
    return GRPCError(status, "a remedy", [ErrorInfo(reason=reason), *more])


async def main(socket):
    daemon = Daemon()
    server = Server([daemon])
    await server.start(path=socket)
    backend = ClavigerBackend(
        project="acme",
        environment="prod",
        address=f"unix:{socket}",
        team_projects={"payments": "acme-payments"},
    )

    async def get_variable(*more):
        return await asyncio.to_thread(backend.get_variable, "region", *more)

    pause = RetryInfo(retry_delay=Duration(nanos=600_000_000))
    daemon.failures = [
        failure(Status.UNAVAILABLE, "VAULT_UNREACHABLE", pause),
        failure(Status.RESOURCE_EXHAUSTED, "OVERLOADED", pause),
        GRPCError(Status.UNAVAILABLE, "gone"),
    ]
    assert await get_variable() == VALUE
    names, times = [call[:2] for call in daemon.asked], [call[2] for call in daemon.asked]
    assert names == [("projects/acme/secrets/airflow_var_region", "prod")] * 4, names
    assert times[1] - times[0] >= 0.6 and times[2] - times[1] >= 0.6, times

    daemon.asked.clear()
    daemon.failures = [failure(Status.FAILED_PRECONDITION, "VALUE_EXPIRED")]
    try:
        raise AssertionError(await get_variable())
    except ClavigerError as error:
        assert str(error).endswith("a remedy [VALUE_EXPIRED]"), error
    assert len(daemon.asked) == 1

    daemon.asked.clear()
    assert await get_variable("payments") == VALUE
    assert await get_variable("no-such-team") is None
    assert [name for name, *_ in daemon.asked] == ["projects/acme-payments/secrets/airflow_var_region"]

    assert redact(f"a task prints {VALUE}") == "a task prints ***"
    assert VALUE not in repr(backend) + repr(vars(backend))
    server.close()
    await server.wait_closed()


asyncio.run(main(sys.argv[1]))
