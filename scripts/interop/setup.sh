#!/bin/sh
# Makes the Python environment of the interoperability checks in .venv/ at the top of the repository, unless it
# is there. Needs python3 (3.11 or newer) with venv, and a package index. Exits 2 when there is no such Python.
set -eu
root=$(cd "$(dirname "$0")/../.." && pwd)
venv=${1:-"$root/.venv"}
stamp="$venv/.warden-spex-0.0.95"
[ -e "$stamp" ] && exit 0

command -v python3 >/dev/null 2>&1 || { echo "interop: python3 is not installed" >&2; exit 2; }
python3 -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' 2>/dev/null ||
  { echo "interop: python3 is older than 3.11 or lacks venv" >&2; exit 2; }

python3 -m venv "$venv"
"$venv/bin/pip" install --quiet --disable-pip-version-check \
  "numpy>=2" "scipy>=1.15.2" "rbloom>=1.5.2" "pydantic>=2.10.6"
# The package asks for Python 3.12.8 but uses nothing newer than 3.11: its code is what we compare with.
"$venv/bin/pip" install --quiet --disable-pip-version-check --no-deps --ignore-requires-python warden-spex==0.0.95
touch "$stamp"
