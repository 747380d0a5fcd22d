#!/bin/sh
# Makes what an installation keeps secret: keyring, service tokens, the database's password, and
# the authority and certificates between core and clients. It never overwrites a file.
#
#     deploy/secrets.sh DIRECTORY [DATABASE_HOST] [CORE_NAME]…
#
# CORE_NAME are the names that clients know a core by; the default is `core nivisco-core`.
# Run as root, the files belong to user 65532, whom the image runs as. Keep a copy of `secret_keys`
# and `ca.key` elsewhere: without the first, stored gateway keys cannot be read.
set -eu

directory=${1:?the directory to make}
host=${2:-postgres}
[ $# -gt 2 ] && shift 2 || set -- core nivisco-core

[ -e "$directory" ] && { echo "$directory exists already" >&2; exit 1; }
umask 077
mkdir -p "$directory"
cd "$directory"

write() { printf '%s' "$2" >"$1"; }

# Each value is a variable first, because the shell ends for an assignment that fails.
value=$(openssl rand -base64 32)
write secret_keys "k1:$value"
tokens=
for scope in operator webhooks scheduler; do
    value=$(openssl rand -hex 24)
    write "${scope}_token" "$value"
    tokens="$tokens,$scope:$value"
done
write service_tokens "${tokens#,}"
value=$(openssl rand -hex 24)
write postgres_password "$value"
write database_url "postgresql://nivisco:$value@$host/nivisco"

key() { openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes "$@" 2>/dev/null; }
certificate() { # NAME, then subjectAltName
    key -new -subj "/CN=$1" -keyout "$1.key" -out request
    printf 'subjectAltName=%s' "$2" >extensions
    openssl x509 -req -in request -days 825 -CA ca.pem -CAkey ca.key -CAcreateserial \
        -extfile extensions -out "$1.pem" 2>/dev/null
    rm request extensions
}
key -x509 -days 3650 -subj "/CN=nivisco internal" -keyout ca.key -out ca.pem
names=DNS:localhost
for name; do names="$names,DNS:$name"; done
certificate core "$names"
certificate client DNS:client
rm -f ca.srl

# PostgreSQL's image reads its password as its own user; this directory is closed to all others.
chmod 444 postgres_password
if [ "$(id -u)" = 0 ]; then
    for file in secret_keys service_tokens database_url *_token core.* client.* ca.pem; do
        chown 65532:65532 "$file"
    done
fi
