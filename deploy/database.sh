#!/bin/sh
# Run once by the PostgreSQL image when it makes its data: a role of Kasse's own, which is no superuser, so that the
# database keeps the accounts apart for it as well.
set -eu
psql -v ON_ERROR_STOP=1 -v password="$KASSE_DB_PASSWORD" --username "$POSTGRES_USER" --dbname postgres <<'SQL'
CREATE ROLE kasse LOGIN PASSWORD :'password';
CREATE DATABASE kasse OWNER kasse;
SQL
