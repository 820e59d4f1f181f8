"""A runner that reads until the daemon is gone: run by tests/all/drain.rs.

usage: read_until_error.py ADDRESS, with CLAVIGER_TOKEN in the environment
"""

import os
import sys

import grpc
from claviger.v1 import secret_service_pb2 as pb
from claviger.v1 import secret_service_pb2_grpc as services

REQUEST = pb.GetSecretRequest(name="projects/dev/secrets/read")
TOKEN = [("authorization", f"Bearer {os.environ['CLAVIGER_TOKEN']}")]

with grpc.insecure_channel(sys.argv[1]) as channel:
    secrets = services.SecretServiceStub(channel)
    count = 0
    while True:
        try:
            answer = secrets.GetSecret(REQUEST, metadata=TOKEN)
        except grpc.RpcError as error:
            print(error.code().name)
            break
        assert answer.text == "again and again"
        count += 1
        if count == 20:
            print("reading", flush=True)
