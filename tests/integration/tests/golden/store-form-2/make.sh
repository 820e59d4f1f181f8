#!/usr/bin/env bash
# Makes the store in this directory. To be run with programs of the commit that README.md names:
#   make.sh CLAVIGERD_WITH_FAILPOINTS GRPCURL SQLITE3 DIRECTORY
# The last is where store.db and root.key are left.
set -euo pipefail
CLAVIGERD=$1 GRPCURL=$2 SQLITE3=$3 OUT=$4

HOME=$(mktemp -d)
export HOME
SOCKET=$HOME/socket
trap 'kill $(jobs -p) 2>/dev/null || true; rm -rf "$HOME"' EXIT

cat > "$HOME/clavigerd.toml" <<TOML
data_dir = "$HOME/data"
[listen]
socket = "$SOCKET"
[root_key]
file = "$HOME/root.key"
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
define() { printf '{"definition":{"name":"projects/plain/secrets/%s"},"payload":{"text":"%s"}%s}' "$@" | call SecretDefinitionService/PutSecretDefinition; }
put() { printf '{"name":"projects/plain/secrets/%s","payload":{"text":"%s"}%s}' "$@" | call SecretService/PutSecretValue; }
version() { printf '{"name":"projects/plain/secrets/%s/versions/%s"}' "$2" "$3" | call "SecretService/$1SecretVersion"; }

start
grant '{"principal":"unix:0","role":"OPERATOR","resource":"*"}'
grant '{"principal":"unix:0","role":"RUNNER","resource":"*"}'
call ProjectService/PutProject <<< '{"project":{"name":"projects/plain"}}'

define opaque 'opaque one' ',"request_id":"11111111-1111-4111-8111-111111111111"'
put opaque 'opaque two' ',"request_id":"22222222-2222-4222-8222-222222222222"'
put opaque 'opaque three' ',"if_version":"2"'
put opaque 'opaque four' ''
version Disable opaque 2
version Destroy opaque 1

define many 'many 1' ''
for number in $(seq 2 40); do put many "many $number" ''; done
version Destroy many 5
version Disable many 6
version Disable many 40

define deleted 'deleted one' ''
call SecretDefinitionService/DeleteSecretDefinition <<< '{"name":"projects/plain/secrets/deleted"}'
define purged 'purged one' ''
call SecretDefinitionService/DeleteSecretDefinition <<< '{"name":"projects/plain/secrets/purged","purge":true}'
printf '{"definition":{"name":"projects/plain/secrets/empty"}}' | call SecretDefinitionService/PutSecretDefinition
define lost 'lost one' ''

# A write that the vault has taken, and whose daemon died before it said so to itself.
stop
export CLAVIGER_FAILPOINT=after-vault
start
put lost 'lost two' ',"request_id":"33333333-3333-4333-8333-333333333333"' && exit 1
wait $DAEMON || true
"$SQLITE3" "$HOME/data/store.db" 'PRAGMA wal_checkpoint(TRUNCATE); VACUUM; PRAGMA wal_checkpoint(TRUNCATE);'
[[ -s $HOME/data/store.db-wal ]] && exit 1
cp "$HOME/data/store.db" "$HOME/root.key" "$OUT"
