#!/bin/sh
# The store, the audit log and the root key stay, even when the package is purged: without them the values
# would be lost.
set -e
if [ -d /run/systemd/system ]; then
    systemctl daemon-reload || echo "systemd did not notice: run systemctl daemon-reload" >&2
fi
