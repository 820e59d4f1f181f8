#!/usr/bin/env bash
# Runs the conformance suite against AWS Secrets Manager itself: see README.md beside this.
set -euo pipefail
if [[ $# -ne 1 || -z $1 ]]; then
    echo "usage: deploy/live/aws.sh REGION    (eu-central-1 for example)" >&2
    exit 64
fi
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
export CLAVIGER_LIVE_AWS_REGION=$1
exec cargo test -p claviger-backend-aws --test conformance -- \
    --ignored --exact --nocapture live::a_real_account_keeps_the_contract
