#!/bin/sh
# Makes the files that compose.yaml hands to its containers, in deploy/secrets/; those that are there stay as they are.
set -eu
umask 077
folder="$(dirname "$0")/secrets"
mkdir -p "$folder"

make() { # make NAME: a new secret of 192 random bits, unless there is one
    [ -s "$folder/$1" ] || od -An -N24 -tx1 /dev/urandom | tr -d ' \n' >"$folder/$1"
}
address() { # address NAME ROLE PASSWORD: where a role signs in to the database
    printf 'postgresql://%s:%s@database:5432/sluice' "$2" "$(cat "$folder/$3")" >"$folder/$1"
}

make postgres
make grafana
address administrator_database_url postgres postgres
for service in release accounting_connector billing_runs notifier; do
    make "sluice_$service"
    address "${service}_database_url" "sluice_$service" "sluice_$service"
done
[ -s "$folder/smtp_url" ] || printf 'smtp://mail:1025' >"$folder/smtp_url"
# Containers read them as a user of their own (10001); the folder itself is closed to everybody else.
chmod 644 "$folder"/*
