#!/bin/sh
# The first installation starts nothing, because there is no root key yet. An upgrade restarts a daemon
# that runs. One that does not start again is for its operator to see to: the package is installed.
set -e
if [ "$1" = configure ]; then
    systemd-sysusers claviger.conf
    if [ -d /run/systemd/system ]; then
        { systemctl daemon-reload && systemctl try-restart clavigerd.service; } ||
            echo "clavigerd did not restart: see journalctl -u clavigerd" >&2
    fi
fi
