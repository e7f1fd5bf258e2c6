#!/bin/sh
# Makes the Python environment of the TOPLOC check in .venv/toploc, unless it is there: the package toploc and the
# PyTorch release that its compiled part was built against. The index has that release with CUDA libraries only:
# 2.6 GB to fetch, 5.3 GB on disk, two to three minutes. Exits 2 when there is no Python for it, or no way to fetch it.
set -eu
root=$(cd "$(dirname "$0")/../.." && pwd)
venv=${1:-"$root/.venv/toploc"}
stamp="$venv/.toploc-0.1.6-torch-2.6.0"
[ -e "$stamp" ] && exit 0

command -v python3 >/dev/null 2>&1 || { echo "interop: python3 is not installed" >&2; exit 2; }
python3 -c 'import sys, venv, ensurepip; sys.exit(not (3, 9) <= sys.version_info < (3, 14))' 2>/dev/null ||
  { echo "interop: python3 is not one of 3.9 to 3.13, or lacks venv" >&2; exit 2; }

python3 -m venv "$venv"
"$venv/bin/pip" install --quiet --disable-pip-version-check --no-compile "toploc==0.1.6" "torch==2.6.0" "numpy<3" ||
  { echo "interop: toploc and torch could not be installed" >&2; exit 2; }
"$venv/bin/python" -c 'import toploc; assert toploc.__version__ == "0.1.6"'
touch "$stamp"
