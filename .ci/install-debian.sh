#!/bin/sh
# Install the Debian packages that the end-to-end tests need: a browser, and curl for the documents' commands.
set -eu
command -v chromium >/dev/null && command -v curl >/dev/null && exit 0
as_root() { if [ "$(id -u)" = 0 ]; then "$@"; else sudo "$@"; fi; }
as_root apt-get update -qq
as_root env DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends chromium curl >/dev/null
