"""Airflow's connections, variables and configuration, out of Claviger.

[secrets]
backend = claviger_airflow.ClavigerBackend
backend_kwargs = {"project": "acme", "environment": "prod"}

A look-up of what Claviger has no definition of goes on to Airflow's next backend. Every other failure
ends it: Airflow would go on from it too, and a task would run with whatever an older place still has.
"""

from __future__ import annotations

import asyncio
import random
import re
import ssl
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from airflow.sdk.exceptions import AirflowSecretsBackendAccessDenied
from airflow.sdk.log import mask_secret
from airflow.secrets import BaseSecretsBackend
from claviger.v1 import secret_service_pb2 as pb
from google.rpc import error_details_pb2

# In plain Python, because Airflow forks: a child of a process that has used grpcio may hang for ever.
from grpclib import GRPCError, Status
from grpclib.client import Channel, UnaryUnaryMethod

# An id in Claviger. There is nothing under a longer or another one.
ID = re.compile(r"[0-9A-Za-z_()-]{1,128}", re.ASCII)

# A token of Claviger's, or a JWT. Nothing else that a wrong path leads to is sent anywhere.
TOKEN = re.compile(r"clv_\w+|[\w-]+\.[\w-]+\.[\w-]+", re.ASCII)

LOOPBACK = ("127.0.0.1", "::1", "localhost")

# How long is waited before the daemon is asked again, in seconds, at first and at most; and up to a
# half longer, because tasks that start together must not ask together.
PAUSES = (0.1, 3.0)


class ClavigerError(AirflowSecretsBackendAccessDenied):
    """No answer, or one that is of no use. Of all errors of a backend, Airflow stops at this class alone."""


class ClavigerBackend(BaseSecretsBackend):
    """Looks up `projects/{project}/secrets/{prefix}{id}`, by the id that a DAG has.

    :param project: the project
    :param environment: its environment, where it declares some
    :param address: unix:/path/of/the/socket, or host:port: over TLS, but on this host without `ca_file`
    :param ca_file: who vouches for the daemon (PEM), if it is no public authority
    :param certificate_file: what it is shown of this one (PEM), with `private_key_file`
    :param token_file: a file with a token and nothing else; over the socket the daemon knows the uid
    :param connections_prefix: of definitions of connections; null: they are not in Claviger
    :param connections_lookup_pattern: those that are: a regular expression that the id begins with
    :param variables_prefix: as that of connections
    :param variables_lookup_pattern: as that of connections
    :param config_prefix: as that of connections
    :param team_projects: the project of each team; nothing of a team is looked up elsewhere
    :param timeout: how long a look-up may take, in seconds, with all that is asked again
    """

    def __init__(
        self,
        project: str,
        environment: str = "",
        address: str = "unix:/run/claviger/clavigerd.sock",
        ca_file: str | None = None,
        certificate_file: str | None = None,
        private_key_file: str | None = None,
        token_file: str | None = None,
        connections_prefix: str | None = "airflow_conn_",
        connections_lookup_pattern: str | None = None,
        variables_prefix: str | None = "airflow_var_",
        variables_lookup_pattern: str | None = None,
        config_prefix: str | None = "airflow_config_",
        team_projects: dict[str, str] | None = None,
        timeout: float = 30,
    ):
        super().__init__()
        if not address.startswith("unix:/") and ("/" in address or ":" not in address):
            raise ValueError("address is neither unix:/path/of/the/socket nor host:port")
        if bool(certificate_file) != bool(private_key_file):
            raise ValueError("certificate_file and private_key_file go together")
        self._project = project
        self._environment = environment
        self._address = address
        self._ca_file = ca_file
        self._certificate_files = certificate_file and (certificate_file, private_key_file)
        self._token_file = token_file
        self._connections = (connections_prefix, connections_lookup_pattern)
        self._variables = (variables_prefix, variables_lookup_pattern)
        self._config = (config_prefix, None)
        self._team_projects = team_projects or {}
        self._timeout = timeout

    def get_conn_value(self, conn_id: str, team_name: str | None = None) -> str | None:
        return self._look_up(self._connections, conn_id, team_name)

    def get_variable(self, key: str, team_name: str | None = None) -> str | None:
        return self._look_up(self._variables, key, team_name)

    def get_config(self, key: str) -> str | None:
        return self._look_up(self._config, key, None)

    def deserialize_connection(self, conn_id: str, value: str):
        try:
            if not value.lstrip().startswith("{") and "://" not in value:
                raise ValueError
            return super().deserialize_connection(conn_id, value)
        except Exception as error:
            # Not its message, which may repeat the value.
            raise ClavigerError(
                f"the value of the connection {conn_id} is no URI and no JSON that Airflow can read "
                f"({type(error).__name__}); put one such as "
                '{"conn_type": "http", "host": "…", "password": "…"}'
            ) from None

    def _look_up(self, scope, key: str, team_name: str | None) -> str | None:
        prefix, pattern = scope
        project = self._team_projects.get(team_name) if team_name else self._project
        if prefix is None or project is None or (pattern and not re.match(pattern, key)):
            return None
        if not ID.fullmatch(prefix + key):
            return None
        value = self._fetch(f"projects/{project}/secrets/{prefix}{key}")
        if value is not None:
            # Airflow masks those alone whose key tells it to.
            mask_secret(value)
        return value

    def _fetch(self, name: str) -> str | None:
        end = time.monotonic() + self._timeout
        pause, longest = PAUSES
        while True:
            retry_after = None
            try:
                answer = self._ask(name, end - time.monotonic())
                break
            except ssl.SSLCertVerificationError as error:
                raise failure(name, f"it is not trusted: {error.verify_message}") from None
            except GRPCError as error:
                reason, retry_after = told(error)
                if reason == "DEFINITION_NOT_FOUND":
                    return None
                # Claviger's message has the remedy, and no part of a value but its last four.
                said = f"{error.message} [{reason}]"
                if retry_after is None and error.status is not Status.UNAVAILABLE:
                    raise failure(name, said) from None
            except ClavigerError:
                raise
            # A connection that is lost shows as many things, an AttributeError of grpclib's among them.
            except (Exception, asyncio.CancelledError) as error:
                said = f"{error or type(error).__name__}; start it, or look at `address`"
            wait = max(pause, retry_after or 0) * random.uniform(1, 1.5)
            if time.monotonic() + wait > end:
                raise failure(name, f"{said}, after {self._timeout} s (`timeout`)")
            time.sleep(wait)
            pause = min(2 * pause, longest)
        if answer.WhichOneof("value") != "text":
            raise failure(name, "its format is BINARY, and Airflow needs TEXT")
        return answer.text

    def _ask(self, name: str, seconds: float) -> pb.GetSecretResponse:
        # In a thread, because that of a caller may have a loop that runs.
        with ThreadPoolExecutor(1) as thread:
            return thread.submit(asyncio.run, self._call(name, seconds)).result()

    async def _call(self, name: str, seconds: float) -> pb.GetSecretResponse:
        request = pb.GetSecretRequest(name=name, environment=self._environment)
        # Files are read each time, so that a token or a certificate that is replaced counts at once.
        async with self._channel() as channel:
            get = UnaryUnaryMethod(
                channel,
                "/claviger.v1.SecretService/GetSecret",
                pb.GetSecretRequest,
                pb.GetSecretResponse,
            )
            return await get(request, timeout=seconds, metadata=self._credentials())

    def _channel(self) -> Channel:
        if self._address.startswith("unix:"):
            return Channel(path=self._address.removeprefix("unix:"))
        host, _, port = self._address.rpartition(":")
        host = host.strip("[]")
        if not self._ca_file and host in LOOPBACK:
            return Channel(host, int(port))
        try:
            context = ssl.create_default_context(cafile=self._ca_file)
            if self._certificate_files:
                context.load_cert_chain(*self._certificate_files)
        except OSError as error:
            raise ClavigerError(
                f"ca_file, certificate_file or private_key_file cannot be used: {error}"
            ) from None
        context.set_alpn_protocols(["h2"])
        return Channel(host, int(port), ssl=context)

    def _credentials(self) -> dict[str, str]:
        if not self._token_file:
            return {}
        try:
            token = Path(self._token_file).read_text(errors="replace").strip()
        except OSError as error:
            raise ClavigerError(f"{self._token_file} cannot be read: {error.strerror}") from None
        if not TOKEN.fullmatch(token):
            raise ClavigerError(f"{self._token_file} has to hold a token (clv_…) and nothing else")
        return {"authorization": f"Bearer {token}"}


def failure(name: str, said: str) -> ClavigerError:
    return ClavigerError(f"no {name} from Claviger: {said}")


def told(error: GRPCError) -> tuple[str, float | None]:
    """The reason of an error, and after how many seconds to ask again, where that helps."""
    reason, retry_after = error.status.name, None
    for detail in error.details or ():
        if isinstance(detail, error_details_pb2.ErrorInfo):
            reason = detail.reason
        elif isinstance(detail, error_details_pb2.RetryInfo):
            retry_after = detail.retry_delay.ToTimedelta().total_seconds()
    return reason, retry_after
