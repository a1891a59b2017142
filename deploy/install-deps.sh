#!/usr/bin/env bash
# Installs the Debian packages of deploy/packages.txt that are not there yet. Debian 12 and 13.
set -euo pipefail

list=$(dirname "$0")/packages.txt
mapfile -t packages < <(grep -vE '^[[:space:]]*(#|$)' "$list")

installed() {
  [ "$(dpkg-query -W -f '${db:Status-Status}' "$1" 2>/dev/null)" = installed ]
}

command -v apt-get >/dev/null || {
  echo "install-deps: this is no Debian: install the counterparts of $list by hand" >&2
  exit 1
}

missing=()
for package in "${packages[@]}"; do
  installed "$package" || missing+=("$package")
done
if [ ${#missing[@]} -eq 0 ]; then
  echo "install-deps: all ${#packages[@]} packages are there"
  exit 0
fi

as_root=()
if [ "$(id -u)" -ne 0 ]; then
  command -v sudo >/dev/null || {
    echo "install-deps: run as root, or install sudo; missing: ${missing[*]}" >&2
    exit 1
  }
  as_root=(sudo)
fi

echo "install-deps: installing with apt-get: ${missing[*]}"
"${as_root[@]}" apt-get update -q
"${as_root[@]}" env DEBIAN_FRONTEND=noninteractive \
  apt-get install -y -q --no-install-recommends "${missing[@]}"
