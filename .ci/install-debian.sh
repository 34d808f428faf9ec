#!/bin/sh
# Install those of the named Debian packages whose command of the same name is missing. Without names: all that any test
# needs, which is a browser, and curl for the documents' commands.
set -eu
[ $# -gt 0 ] || set -- chromium curl
for package; do
    shift
    command -v "$package" >/dev/null || set -- "$@" "$package"
done
[ $# -gt 0 ] || exit 0
as_root() { if [ "$(id -u)" = 0 ]; then "$@"; else sudo "$@"; fi; }
as_root apt-get update -qq
as_root env DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends "$@" >/dev/null
