#!/bin/sh
# The namespace of the research cycles. 90 days, as `research dev` has it: the ledger needs 48 hours at least.
set -eu

until temporal operator cluster health; do
    sleep 2
done
temporal operator namespace describe --namespace research ||
    temporal operator namespace create --namespace research --retention 90d
