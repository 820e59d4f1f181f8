"""Shows who a job is where it holds no secret of its own: by a token of the platform that runs it.

CLAVIGER_PROOF  file:/run/claviger/token  a file that the platform keeps fresh, as Kubernetes does
                github:AUDIENCE           GitHub Actions, for a job with `permissions: id-token: write`

The platform's token goes to Claviger once, for a short token that the calls are made with.
"""

import json
import os
import re
import time
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path

from claviger.v1 import access_service_pb2 as pb
from claviger.v1 import access_service_pb2_grpc as services

# So long before its end, in seconds, a short token is no longer used.
MARGIN = 30

GITHUB_LACKS = (
    "GitHub offers this job no token; write `permissions: id-token: write` into its workflow"
)


class NoProof(Exception):
    """The platform gives none; says why, with the remedy. `again`: it may, a little later."""

    def __init__(self, message: str, again: bool = False):
        super().__init__(message)
        self.again = again


class Identity:
    """The job, as its platform knows it, on one channel."""

    def __init__(self, proof: str, channel):
        self._proof = proof
        self._access = services.AccessServiceStub(channel)
        self._token = ""
        self._end = 0.0

    def token(self, timeout: float) -> str:
        """The token for the next call: the one there is, or a new one shortly before its end."""
        if time.time() > self._end - MARGIN:
            answer = self._access.ExchangeToken(
                pb.ExchangeTokenRequest(),
                metadata=[("authorization", f"Bearer {of_platform(self._proof)}")],
                timeout=timeout,
            )
            self._token, self._end = answer.token, answer.expire_time.ToSeconds()
        return self._token


def of_platform(proof: str) -> str:
    """The platform's token. Nothing is kept of it: the platform renews it."""
    kind, _, rest = proof.partition(":")
    if kind == "file" and rest:
        try:
            token = Path(rest).read_text(encoding="ascii").strip()
        except OSError as error:
            raise NoProof(f"CLAVIGER_PROOF: {rest} cannot be read: {error.strerror}") from None
        except UnicodeDecodeError:
            token = ""
    elif kind == "github" and rest:
        token = of_github(rest)
    else:
        raise NoProof("CLAVIGER_PROOF is neither file:/path/of/a/token nor github:AUDIENCE")
    # Nothing else that a wrong path leads to is sent anywhere.
    if not re.fullmatch(r"[\w-]+\.[\w-]+\.[\w-]+", token, re.ASCII):
        raise NoProof("CLAVIGER_PROOF leads to no token of a platform (a JWT: two dots, no spaces)")
    return token


def of_github(audience: str) -> str:
    url = os.environ.get("ACTIONS_ID_TOKEN_REQUEST_URL")
    bearer = os.environ.get("ACTIONS_ID_TOKEN_REQUEST_TOKEN")
    if not url or not bearer:
        raise NoProof(GITHUB_LACKS)
    request = urllib.request.Request(f"{url}&audience={urllib.parse.quote(audience, safe='')}")
    request.add_header("Authorization", f"Bearer {bearer}")
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            return str(json.load(answer).get("value"))
    except urllib.error.HTTPError as error:
        raise NoProof(f"GitHub gives no token: {error.code}", error.code >= 500) from None
    except (OSError, ValueError):
        raise NoProof("GitHub gives no token: no answer that can be read", True) from None
