"""Ordinary operations with the official client; one line for each that went as it should."""

import sys
from datetime import datetime, timezone

from azure.core.exceptions import HttpResponseError, ResourceNotFoundError
from azure.identity import EnvironmentCredential
from azure.keyvault.secrets import SecretClient

client = SecretClient(sys.argv[1], EnvironmentCredential())


def equal(found, expected):
    assert found == expected, f"found {found!r}, expected {expected!r}"


first = client.set_secret("kept", "one", tags={"by": "hand"}, content_type="text/plain")
second = client.set_secret("kept", "two \u00e9\U0001f511")
equal(first.name, "kept")
equal(first.properties.tags, {"by": "hand"})
equal(first.properties.recovery_level, "Recoverable+Purgeable")
equal(first.properties.recoverable_days, 90)
print("set")

equal(client.get_secret("kept").value, "two \u00e9\U0001f511")
equal(client.get_secret("kept").properties.tags, None)
equal(client.get_secret("kept", first.properties.version).value, "one")
print("get")

versions = [p.version for p in client.list_properties_of_secret_versions("kept")]
equal(versions, sorted([first.properties.version, second.properties.version]))
equal(list(client.list_properties_of_secret_versions("unknown")), [])
print("versions")

expires = datetime(2040, 1, 1, tzinfo=timezone.utc)
updated = client.update_secret_properties(
    "kept", first.properties.version, expires_on=expires, tags={"by": "update"}
)
equal(updated.expires_on, expires)
equal(updated.tags, {"by": "update"})
equal(updated.content_type, "text/plain")
print("update")

client.update_secret_properties("kept", first.properties.version, enabled=False)
try:
    client.get_secret("kept", first.properties.version)
    raise AssertionError("a disabled version was read")
except HttpResponseError as error:
    equal(error.status_code, 403)
    equal(error.error.code, "Forbidden")
    equal(error.error.innererror["code"], "SecretDisabled")
print("disabled")

for number in range(60):
    client.set_secret(f"many-{number:02}", "v")
names = [p.name for p in client.list_properties_of_secrets()]
equal(names, ["kept"] + [f"many-{number:02}" for number in range(60)])
sizes = [len(list(p)) for p in client.list_properties_of_secrets(max_page_size=20).by_page()]
equal(sum(sizes), 61)
print("list")

try:
    client.get_secret("unknown")
    raise AssertionError("an unknown secret was read")
except ResourceNotFoundError as error:
    equal(error.error.code, "SecretNotFound")
print("unknown")

poller = client.begin_delete_secret("kept", _polling_interval=0)
poller.wait()
equal(poller.result().recovery_id, f"{sys.argv[1]}/deletedsecrets/kept")
equal([p.name for p in client.list_deleted_secrets()], ["kept"])
try:
    client.set_secret("kept", "three")
    raise AssertionError("a deleted name was written")
except HttpResponseError as error:
    equal(error.status_code, 409)
    equal(error.error.innererror["code"], "ObjectIsDeletedButRecoverable")
print("delete")

poller = client.begin_recover_deleted_secret("kept", _polling_interval=0)
poller.wait()
equal(client.get_secret("kept").value, "two \u00e9\U0001f511")
print("recover")

client.set_secret("gone", "v")
client.begin_delete_secret("gone", _polling_interval=0).wait()
client.purge_deleted_secret("gone")
print("purge")
