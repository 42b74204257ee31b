#!/bin/bash
# Once, when the server's folder is empty: a user and a database each for Dagster and MLflow, which nobody else may open.
set -euo pipefail

for name in lang1_dagster lang1_mlflow; do
    # On standard input: neither the password nor the statement is in the list of processes. psql quotes.
    PGPASSWORD=$(cat "$POSTGRES_PASSWORD_FILE") psql --quiet --no-psqlrc -v ON_ERROR_STOP=1 \
        --username "$POSTGRES_USER" --dbname postgres <<SQL
\\set name $name
\\set password \`cat ${LANG1_SECRETS_FOLDER:-/run/secrets}/$name\`
set log_statement = 'none';
create role :"name" login password :'password';
create database :"name" owner :"name";
revoke all on database :"name" from public;
SQL
done
