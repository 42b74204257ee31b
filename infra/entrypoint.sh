#!/bin/sh
# Before every service of the image: passwords from the mounted files into libpq's, Dagster's configuration into its home.
set -eu
umask 077

PGPASSFILE=/tmp/pgpass
: >"$PGPASSFILE"
for name in lang1_dagster lang1_mlflow; do
    file="${LANG1_SECRETS_FOLDER:-/run/secrets}/$name"
    [ -e "$file" ] || continue
    # libpq's file escapes ':' and '\'.
    password=$(sed -e 's/[\\:]/\\&/g' "$file")
    printf '%s:%s:%s:%s:%s\n' "${PGHOST:-postgres}" "${PGPORT:-5432}" "$name" "$name" "$password" >>"$PGPASSFILE"
done
export PGPASSFILE

# Of the home MLflow's container sees its own folder alone, which must be there before it starts.
# Elsewhere than under LANG1_HOME it is somebody else's: on Kubernetes the chart's, which brings its own dagster.yaml.
case "${DAGSTER_HOME:-}" in
    "${LANG1_HOME:-/lang1}"/*)
        if [ -w "${LANG1_HOME:-/lang1}" ]; then
            mkdir -p "$DAGSTER_HOME" "${LANG1_HOME:-/lang1}/mlflow/artifacts"
            cp "${LANG1_DAGSTER_CONFIG:-/app/infra/dagster-server.yaml}" "$DAGSTER_HOME/.dagster.yaml.$$"
            mv "$DAGSTER_HOME/.dagster.yaml.$$" "$DAGSTER_HOME/dagster.yaml"
        fi
        ;;
esac

exec "$@"
