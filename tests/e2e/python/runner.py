"""A runner as its authors would write it: run by tests/all/python.rs.

usage: runner.py SOCKET ADDRESS, with CLAVIGER_TOKEN and EXPECTED in the environment
"""

import os
import sys

import grpc
from claviger.v1 import secret_service_pb2 as pb
from claviger.v1 import secret_service_pb2_grpc as services
from google.protobuf import descriptor_pool, message_factory
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import (
    ProtoReflectionDescriptorDatabase,
)

NAME = "projects/dev/secrets/python"


def over_socket(path):
    # Without the option the path of the socket would be sent as the authority.
    options = [("grpc.default_authority", "localhost")]
    return grpc.insecure_channel(f"unix:{path}", options)


def main(socket, address):
    expected = os.environ["EXPECTED"]
    token = [("authorization", f"Bearer {os.environ['CLAVIGER_TOKEN']}")]

    with over_socket(socket) as channel:
        answer = services.SecretServiceStub(channel).GetSecret(pb.GetSecretRequest(name=NAME))
        assert answer.text == expected, answer.WhichOneof("value")
        assert (answer.version, answer.vault) == ("1", "managed"), answer.version
        print("socket")

    with grpc.insecure_channel(address) as channel:
        secrets = services.SecretServiceStub(channel)
        answer = secrets.GetSecret(pb.GetSecretRequest(name=NAME), metadata=token)
        assert answer.text == expected, answer.WhichOneof("value")
        print("tcp")

        # The daemon's own descriptors are all it takes to read the details of an error.
        pool = descriptor_pool.DescriptorPool(ProtoReflectionDescriptorDatabase(channel))
        refusals = [
            (NAME, None, grpc.StatusCode.UNAUTHENTICATED, "CREDENTIALS_REQUIRED"),
            (NAME + "x", token, grpc.StatusCode.NOT_FOUND, "DEFINITION_NOT_FOUND"),
            ("projects/other/secrets/x", token, grpc.StatusCode.PERMISSION_DENIED, "ACCESS_DENIED"),
        ]
        for name, metadata, code, reason in refusals:
            try:
                secrets.GetSecret(pb.GetSecretRequest(name=name), metadata=metadata)
                raise AssertionError(f"{reason} expected")
            except grpc.RpcError as error:
                assert error.code() == code, error
                info = error_info(pool, error)
                assert (info.reason, info.domain) == (reason, "claviger"), info
        print("errors")

        service = pool.FindServiceByName("claviger.v1.SecretService")
        assert "GetSecret" in service.methods_by_name
        print("reflection v1alpha")

        health = health_pb2_grpc.HealthStub(channel)
        status = health.Check(health_pb2.HealthCheckRequest()).status
        assert status == health_pb2.HealthCheckResponse.SERVING, status
        print("health")


def error_info(pool, error):
    """The google.rpc.ErrorInfo among the details of an error."""

    def parse(message_name, data):
        descriptor = pool.FindMessageTypeByName(message_name)
        message = message_factory.GetMessageClass(descriptor)()
        message.ParseFromString(data)
        return message

    trailers = dict(error.trailing_metadata())
    status = parse("google.rpc.Status", trailers["grpc-status-details-bin"])
    details = {any_.type_url.rpartition("/")[2]: any_.value for any_ in status.details}
    assert "google.rpc.RequestInfo" in details, details.keys()
    return parse("google.rpc.ErrorInfo", details["google.rpc.ErrorInfo"])


main(*sys.argv[1:])
