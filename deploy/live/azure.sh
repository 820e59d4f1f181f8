#!/usr/bin/env bash
# Runs the conformance suite against Azure Key Vault itself: see README.md beside this.
set -euo pipefail
if [[ $# -ne 1 || -z $1 ]]; then
    echo "usage: deploy/live/azure.sh VAULT_URL    (https://NAME.vault.azure.net)" >&2
    exit 64
fi
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
export CLAVIGER_LIVE_AZURE_VAULT_URL=$1
exec cargo test -p claviger-backend-azure --test conformance -- \
    --ignored --exact --nocapture live::a_real_vault_keeps_the_contract
