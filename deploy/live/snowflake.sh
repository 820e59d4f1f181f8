#!/usr/bin/env bash
# Runs the conformance suite against Snowflake itself: see README.md beside this.
set -euo pipefail
if [[ $# -ne 2 ]]; then
    echo "usage: deploy/live/snowflake.sh ACCOUNT KEY_FILE    (ACME-PROD /run/claviger.p8 for example)" >&2
    exit 64
fi
key=$(realpath -- "$2")
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
export CLAVIGER_LIVE_SNOWFLAKE_ACCOUNT=$1 CLAVIGER_LIVE_SNOWFLAKE_KEY=$key
exec cargo test -p claviger-backend-snowflake --test conformance -- \
    --ignored --exact --nocapture live::a_real_account_keeps_the_contract
