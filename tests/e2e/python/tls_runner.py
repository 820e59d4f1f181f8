"""A runner that shows a certificate: run by tests/all/tls.rs.

usage: tls_runner.py ADDRESS CA CERTIFICATE KEY, with EXPECTED in the environment
"""

import os
import sys

import grpc
from claviger.v1 import access_service_pb2, access_service_pb2_grpc
from claviger.v1 import secret_service_pb2, secret_service_pb2_grpc


def read(path):
    with open(path, "rb") as file:
        return file.read()


def main(address, ca, certificate, key):
    credentials = grpc.ssl_channel_credentials(read(ca), read(key), read(certificate))
    with grpc.secure_channel(address, credentials) as channel:
        access = access_service_pb2_grpc.AccessServiceStub(channel)
        print(access.WhoAmI(access_service_pb2.WhoAmIRequest()).principal)
        secrets = secret_service_pb2_grpc.SecretServiceStub(channel)
        name = "projects/dev/secrets/tls"
        answer = secrets.GetSecret(secret_service_pb2.GetSecretRequest(name=name))
        assert answer.text == os.environ["EXPECTED"], answer.WhichOneof("value")

    nobody = grpc.ssl_channel_credentials(read(ca))
    with grpc.secure_channel(address, nobody) as channel:
        access = access_service_pb2_grpc.AccessServiceStub(channel)
        try:
            access.WhoAmI(access_service_pb2.WhoAmIRequest())
        except grpc.RpcError as error:
            print(error.code().name)


main(*sys.argv[1:])
