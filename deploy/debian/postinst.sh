#!/bin/sh
# The first installation starts nothing, because there is no root key yet. An upgrade restarts a daemon
# that runs.
set -e
if [ "$1" = configure ]; then
    systemd-sysusers claviger.conf
    if [ -d /run/systemd/system ]; then
        systemctl daemon-reload
        systemctl try-restart clavigerd.service
    fi
fi
