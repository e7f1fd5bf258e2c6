#!/bin/sh
# Makes a Python environment with a generator of clients (openapi-python-client) and what checks answers against JSON
# Schemas (jsonschema) in the folder given. Exits 2 when there is no Python for it, or no way to fetch it.
set -eu
venv=$1
command -v python3 >/dev/null 2>&1 || { echo "interop: python3 is not installed" >&2; exit 2; }
python3 -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' 2>/dev/null ||
  { echo "interop: python3 is older than 3.11 or lacks venv" >&2; exit 2; }

python3 -m venv "$venv"
"$venv/bin/pip" install --quiet --disable-pip-version-check \
  "openapi-python-client==0.29.1" "jsonschema==4.26.0" "rfc3339-validator==0.1.4" ||
  { echo "interop: openapi-python-client could not be installed" >&2; exit 2; }
