"""Fetches a Stripe key from Claviger when a job starts, and of a profile whenever it needs another.

keys = claviger_key.from_environment(), and keys.now() before each call. A program that is not to be
changed is started by `claviger run`.

CLAVIGER_SECRET       the definition, projects/{project}/secrets/{id}
CLAVIGER_PROFILE      in place of it: the profile, projects/{project}/connectionProfiles/{id}
CLAVIGER_ENVIRONMENT  its environment, where the project declares some
CLAVIGER_ADDRESS      unix:/run/claviger/clavigerd.sock (the default), or host:port: over TLS, but
                      on this host without CLAVIGER_CA_FILE
CLAVIGER_CA_FILE      who vouches for the daemon (PEM), if it is no public authority
CLAVIGER_TOKEN_FILE   a file with a token; over the socket the daemon knows the uid
CLAVIGER_PROOF        in place of it: what the platform says of the job (claviger_proof.py)
STRIPE_API_KEY        a key for a laptop without Claviger; never together with one of the first two
"""

import math
import os
import sys
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path

import grpc
from claviger.v1 import connection_profile_service_pb2 as profiles
from claviger.v1 import connection_profile_service_pb2_grpc as profile_services
from claviger.v1 import secret_definition_service_pb2 as definitions
from claviger.v1 import secret_service_pb2 as pb
from claviger.v1 import secret_service_pb2_grpc as services

import claviger_proof

SOCKET = "unix:/run/claviger/clavigerd.sock"

# sysexits.h: a service manager tries again after the one and not after the other.
TRY_AGAIN = 75
CONFIGURATION = 78

# A daemon that is just starting, or a vault that is throttled, must not end a nightly job.
SECONDS = 60
TRANSIENT = (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED)
RETRY = """{"methodConfig": [{"name": [
    {"service": "claviger.v1.AccessService"}, {"service": "claviger.v1.ConnectionProfileService"},
    {"service": "claviger.v1.SecretService"}], "retryPolicy": {
    "maxAttempts": 5, "initialBackoff": "0.5s", "maxBackoff": "10s", "backoffMultiplier": 2,
    "retryableStatusCodes": ["UNAVAILABLE"]}}]}"""


# So long before its end, in seconds, a key is fetched again: Claviger has another one by then.
MARGIN = 60


@dataclass(frozen=True)
class StripeKey:
    # Not in the repr, which ends up in tracebacks and logs.
    text: str = field(repr=False)
    account: str = ""
    context: str = ""
    # Of a profile: what names exactly this key, and when it ends.
    version: str = ""
    end: float = math.inf


class Keys:
    """The keys of a job, one at a time. Ends the process with the remedy where there is none."""

    def __init__(self, fetch):
        self._fetch = fetch
        self._lock = threading.Lock()
        self._key = fetch("")

    def now(self) -> StripeKey:
        """The key for the next call."""
        with self._lock:
            if time.time() > self._key.end - MARGIN:
                self._key = self._fetch("")
            return self._key

    def refused(self, key: StripeKey) -> bool:
        """Stripe said 401 to it: whether the call is to be repeated, once, with what is now."""
        with self._lock:
            if key.version and key == self._key:
                self._key = self._fetch(key.version)
        return bool(key.version)


def from_environment() -> Keys:
    """The keys, or the end of the process with the remedy on standard error."""
    variables = ("CLAVIGER_SECRET", "CLAVIGER_PROFILE", "STRIPE_API_KEY")
    secret, profile, inline = (os.environ.get(variable, "") for variable in variables)
    certain = "so that it is certain which key the job works with"
    if secret and profile:
        stop(
            CONFIGURATION,
            f"CLAVIGER_SECRET names {secret}, and CLAVIGER_PROFILE {profile}; remove one of them, "
            f"{certain}",
        )
    if inline and (name := secret or profile):
        variable = "CLAVIGER_SECRET" if secret else "CLAVIGER_PROFILE"
        stop(
            CONFIGURATION,
            f"{variable} names {name}, and STRIPE_API_KEY holds a key as well; remove "
            f"STRIPE_API_KEY, {certain}",
        )
    if inline:
        return Keys(lambda _: StripeKey(inline))
    if not secret and not profile:
        stop(
            CONFIGURATION,
            "set CLAVIGER_SECRET to the definition: projects/{project}/secrets/{id}, or "
            "CLAVIGER_PROFILE to the profile: projects/{project}/connectionProfiles/{id}",
        )
    environment = os.environ.get("CLAVIGER_ENVIRONMENT", "")
    if profile:
        return Keys(lambda refused: of_profile(profile, environment, refused))
    return Keys(lambda _: of_definition(secret, environment))


def of_definition(name: str, environment: str) -> StripeKey:
    request = pb.GetSecretRequest(name=name, environment=environment)
    answer = ask(name, lambda channel: services.SecretServiceStub(channel).GetSecret, request)
    # Of another kind, nobody has looked whether the value is a key at all.
    if answer.kind != definitions.SecretDefinition.STRIPE_API_KEY:
        stop(
            CONFIGURATION,
            f"{name} is not of kind STRIPE_API_KEY; set CLAVIGER_SECRET to a definition that is",
        )
    return StripeKey(answer.text, answer.stripe.account, answer.stripe.context)


def of_profile(name: str, environment: str, refused: str) -> StripeKey:
    request = profiles.ResolveConnectionRequest(
        name=name, environment=environment, refused_version=refused
    )
    service = profile_services.ConnectionProfileServiceStub
    answer = ask(name, lambda channel: service(channel).ResolveConnection, request)
    end = answer.expire_time.ToSeconds() if answer.HasField("expire_time") else math.inf
    return StripeKey(answer.credential, answer.account, answer.context, answer.version, end)


def ask(name: str, rpc, request):
    try:
        with connect(os.environ.get("CLAVIGER_ADDRESS", SOCKET)) as channel:
            return rpc(channel)(request, metadata=credentials(channel), timeout=SECONDS)
    except grpc.RpcError as error:
        code = TRY_AGAIN if error.code() in TRANSIENT else CONFIGURATION
        hint = ""
        if error.code() == grpc.StatusCode.UNAUTHENTICATED:
            hint = (
                "; CLAVIGER_TOKEN_FILE names the file with the token, or CLAVIGER_PROOF where the "
                "platform's is"
            )
        # The message of Claviger has the remedy, and no part of a value but its last four.
        stop(code, f"no key from {name}: {error.details()} ({error.code().name}){hint}")
    except claviger_proof.NoProof as error:
        stop(TRY_AGAIN if error.again else CONFIGURATION, str(error))


def connect(address: str) -> grpc.Channel:
    # gRPC would take even a loopback address through HTTP_PROXY, which would see token and key.
    options = [("grpc.service_config", RETRY), ("grpc.enable_http_proxy", 0)]
    if address.startswith("unix:"):
        # Without it the path of the socket would be sent as the authority, which HTTP/2 forbids.
        options.append(("grpc.default_authority", "localhost"))
        return grpc.insecure_channel(address, options)
    if "/" in address or ":" not in address:
        stop(CONFIGURATION, "CLAVIGER_ADDRESS is neither unix:/path/of/the/socket nor host:port")
    ca_file = os.environ.get("CLAVIGER_CA_FILE")
    if not ca_file and address.rpartition(":")[0] in ("127.0.0.1", "[::1]", "localhost"):
        return grpc.insecure_channel(address, options)
    roots = read("CLAVIGER_CA_FILE", ca_file) if ca_file else None
    return grpc.secure_channel(address, grpc.ssl_channel_credentials(roots), options)


def credentials(channel: grpc.Channel) -> list:
    """The header that says who calls; over the socket there need not be one."""
    token_file, proof = (os.environ.get(f"CLAVIGER_{name}") for name in ("TOKEN_FILE", "PROOF"))
    if token_file and proof:
        stop(CONFIGURATION, "CLAVIGER_TOKEN_FILE and CLAVIGER_PROOF are both set; remove one of them")
    if proof:
        token = claviger_proof.Identity(proof, channel).token(SECONDS)
    elif token_file:
        token = read("CLAVIGER_TOKEN_FILE", token_file).decode(errors="replace").strip()
        if not token.startswith("clv_") or not token.isascii() or not token.isidentifier():
            stop(CONFIGURATION, f"{token_file} has to hold a token (clv_…) and nothing else")
    else:
        return []
    return [("authorization", f"Bearer {token}")]


def read(name: str, path: str) -> bytes:
    try:
        return Path(path).read_bytes()
    except OSError as error:
        stop(CONFIGURATION, f"{name} cannot be read: {error.strerror}")


def stop(code: int, message: str):
    print(f"stripe-runner: {message}", file=sys.stderr)
    sys.exit(code)
