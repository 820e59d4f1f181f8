#!/usr/bin/env bash
# Makes the store in this directory. To be run with programs of the commit that README.md names:
#   make.sh CLAVIGERD_WITH_FAILPOINTS GRPCURL MOTO_SERVER DIRECTORY
# The last is where store.db, root.key and tokens.json are left.
set -euo pipefail
CLAVIGERD=$1 GRPCURL=$2 MOTO_SERVER=$3 OUT=$4

HOME=$(mktemp -d)
export HOME AWS_ACCESS_KEY_ID=made-up AWS_SECRET_ACCESS_KEY=made-up AWS_EC2_METADATA_DISABLED=true
SOCKET=$HOME/socket
trap 'kill $(jobs -p) 2>/dev/null || true; rm -rf "$HOME"' EXIT

"$MOTO_SERVER" -H 127.0.0.1 -p 0 2> "$HOME/moto.log" &
MOTO=$!
until ENDPOINT=$(grep -om1 'http://127.0.0.1:[0-9]*' "$HOME/moto.log"); do sleep 0.1; done

cat > "$HOME/clavigerd.toml" <<TOML
data_dir = "$HOME/data"
[listen]
socket = "$SOCKET"
[root_key]
file = "$HOME/root.key"
[vaults.aws-eu]
kind = "aws"
allow = [{ project = "acme", names = ["acme/*"] }]
[vaults.aws-eu.settings]
region = "eu-central-1"
endpoint_url = "$ENDPOINT"
TOML

start() {
    "$CLAVIGERD" --config "$HOME/clavigerd.toml" 2>> "$HOME/clavigerd.log" &
    DAEMON=$!
    until "$GRPCURL" -plaintext -unix "$SOCKET" list > "$HOME/services" 2>&1; do
        kill -0 $DAEMON || { cat "$HOME/clavigerd.log"; exit 1; }
        sleep 0.1
    done
}
stop() { kill -TERM $DAEMON; wait $DAEMON; }
call() { "$GRPCURL" -plaintext -unix -d @ "$SOCKET" "claviger.v1.$1"; }
grant() { printf '{"grant":%s}' "$1" | call AccessService/PutGrant; }
define() { printf '{"definition":%s%s}' "$1" "${2-}" | call SecretDefinitionService/PutSecretDefinition; }
put() { printf '{"name":"projects/%s","payload":%s%s}' "$1" "$2" "${3-}" | call SecretService/PutSecretValue; }

start
grant '{"principal":"unix:0","role":"OPERATOR","resource":"*"}'
grant '{"principal":"unix:0","role":"RUNNER","resource":"*"}'

call ProjectService/PutProject <<< '{"project":{"name":"projects/acme","description":"with environments","default_vault":"managed","environments":{"dev":{"stripe_mode":"TEST"},"prod":{"default_vault":"aws-eu","stripe_mode":"LIVE"}}}}'
call ProjectService/PutProject <<< '{"project":{"name":"projects/plain"}}'

# Definitions of every kind and format in the managed vault, with their values.
define '{"name":"projects/plain/secrets/opaque"}' ',"payload":{"text":"opaque one"},"request_id":"11111111-1111-4111-8111-111111111111"'
put plain/secrets/opaque '{"text":"opaque two"}' ',"request_id":"22222222-2222-4222-8222-222222222222"'
put plain/secrets/opaque '{"text":"opaque three"}' ',"if_version":"2"'
put plain/secrets/opaque '{"text":"opaque four"}'
call SecretService/DisableSecretVersion <<< '{"name":"projects/plain/secrets/opaque/versions/2"}'
call SecretService/DestroySecretVersion <<< '{"name":"projects/plain/secrets/opaque/versions/1"}'
define '{"name":"projects/plain/secrets/binary","format":"BINARY"}' ',"payload":{"data":"AAECA//+/fw="}'
define '{"name":"projects/plain/secrets/password","kind":"PASSWORD","description":"of the warehouse","rotate_by":"2031-01-02T03:04:05Z","labels":{"team":"data","tier":"gold"}}' ',"payload":{"text":"correct horse"}'
define '{"name":"projects/plain/secrets/stripe","kind":"STRIPE_API_KEY","stripe":{"allowed_classes":["RESTRICTED","SECRET"],"account":"acct_1MadeUp000000000"}}' ',"payload":{"text":"rk_test_51MadeUp00000000000001"}'
define '{"name":"projects/plain/secrets/webhook","kind":"STRIPE_WEBHOOK_SECRET"}' ',"payload":{"text":"wh''sec_MadeUpMadeUpMadeUpMadeUpMadeUp01"}'
# Edited, without a value, soft-deleted, purged.
define '{"name":"projects/plain/secrets/password","description":"of the old warehouse"}' ',"update_mask":{"paths":["description"]}'
define '{"name":"projects/plain/secrets/empty"}'
define '{"name":"projects/plain/secrets/deleted"}' ',"payload":{"text":"deleted one"}'
call SecretDefinitionService/DeleteSecretDefinition <<< '{"name":"projects/plain/secrets/deleted"}'
define '{"name":"projects/plain/secrets/purged"}' ',"payload":{"text":"purged one"}'
call SecretDefinitionService/DeleteSecretDefinition <<< '{"name":"projects/plain/secrets/purged","purge":true}'

# Places: one for all environments, one of its own for prod, a property of a document.
define '{"name":"projects/acme/secrets/shared","location":{"vault":"managed"},"environment_fallback":true}' ',"payload":{"text":"shared one"}'
define '{"name":"projects/acme/secrets/split","location":{"vault":"managed"},"environment_fallback":true,"environments":{"prod":{"vault":"aws-eu","secret":"acme/split"}}}'
put acme/secrets/split '{"text":"split in dev"}' ',"environment":"dev"'
put acme/secrets/split '{"text":"split in prod"}' ',"environment":"prod"'
define '{"name":"projects/acme/secrets/key","kind":"STRIPE_API_KEY","environments":{"dev":{"vault":"aws-eu","secret":"acme/documents","property":"key"}}}'
put acme/secrets/key '{"text":"sk_test_51MadeUp00000000000002"}' ',"environment":"dev","request_id":"33333333-3333-4333-8333-333333333333"'

grant '{"principal":"unix:1001","role":"RUNNER","resource":"projects/acme","environment":"prod","expire_time":"2099-01-02T03:04:05Z","purpose":"nightly"}'
grant '{"principal":"unix:1001","role":"OPERATOR","resource":"projects/acme"}'
grant '{"principal":"unix:1002","role":"RUNNER","resource":"projects/plain/secrets/password"}'
grant '{"principal":"unix:1003","role":"AUDITOR","resource":"*"}'
grant '{"principal":"unix:1004","role":"ADMIN","resource":"projects/acme"}'
grant '{"principal":"unix:1005","role":"RUNNER","resource":"projects/plain"}'
call AccessService/DeleteGrant <<< '{"name":"grants/unix-1005-0"}'

token() { printf '%s' "$1" | call AccessService/CreateToken > "$HOME/token"; sed -n 's/^  "token": "\(.*\)",$/\1/p' "$HOME/token"; }
id() { sed -n 's/^    "name": "tokens\/\(.*\)",$/\1/p' "$HOME/token"; }
RUNNER=$(token '{"grants":[{"role":"RUNNER","resource":"projects/acme","environment":"dev"},{"role":"RUNNER","resource":"projects/plain/secrets/opaque"}],"ttl":"31536000s","description":"nightly jobs"}')
grant "{\"principal\":\"token:$(id)\",\"role\":\"RUNNER\",\"resource\":\"projects/plain/secrets/stripe\"}"
AUDITOR=$(token '{"grants":[{"role":"AUDITOR","resource":"*"}],"ttl":"31536000s"}')
REVOKED=$(token '{"grants":[{"role":"RUNNER","resource":"projects/plain"}],"ttl":"31536000s","description":"lost"}')
printf '{"name":"tokens/%s"}' "$(id)" | call AccessService/RevokeToken
printf '{\n  "runner": "%s",\n  "auditor": "%s",\n  "revoked": "%s"\n}\n' "$RUNNER" "$AUDITOR" "$REVOKED" > "$OUT/tokens.json"

# A write that was begun and never ended: the daemon dies in it, and then the vault is gone.
stop
export CLAVIGER_FAILPOINT=after-pending
start
put acme/secrets/split '{"text":"split in prod, two"}' ',"environment":"prod","request_id":"44444444-4444-4444-8444-444444444444"' && exit 1
wait $DAEMON || true
unset CLAVIGER_FAILPOINT
kill $MOTO
start
stop
[[ -e $HOME/data/store.db-wal && -s $HOME/data/store.db-wal ]] && exit 1
cp "$HOME/data/store.db" "$HOME/root.key" "$OUT"
