#!/bin/sh
# Temporal's two databases, brought to the version of this image. Run again it changes nothing.
set -eu

bring_up() {
    database=$1
    versions=$2
    set -- --plugin postgres12 --ep postgresql --port 5432 --user temporal --db "$database"
    temporal-sql-tool "$@" create
    temporal-sql-tool "$@" setup-schema --version 0.0
    temporal-sql-tool "$@" update-schema --schema-dir "/etc/temporal/schema/postgresql/v12/$versions/versioned"
}

bring_up temporal temporal
bring_up temporal_visibility visibility
