#!/bin/sh
# Finds a Python that is new enough and hands over to install.py, which installs what is missing and runs the verb.
set -eu
cd "$(dirname "$0")/../.."
for python in python3.11 python3.12 python3.13 python3.14 python3 python; do
    if "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
        exec "$python" deploy/stack/install.py "$@"
    fi
done
echo "Python 3.11 or newer is needed, and none was found on PATH." >&2
exit 1
