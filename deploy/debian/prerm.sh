#!/bin/sh
set -e
if [ "$1" = remove ] && [ -d /run/systemd/system ]; then
    systemctl disable --now clavigerd.service ||
        echo "clavigerd may still run: see systemctl status clavigerd" >&2
fi
