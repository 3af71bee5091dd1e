#!/bin/sh
# Greets before it runs what it was given.
set -eu
family greet "$FAMILY_AGENT"
exec "$@"
