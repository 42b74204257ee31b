#!/usr/bin/env bash
# Writes the lock files from what is installed in .venv, with the SHA-256 of every file that the index has of each version.
#
#   requirements.lock              everything but torch
#   requirements-torch-cuda.lock   torch as the public index has it, and the CUDA libraries that this build asks for
#   requirements-torch-cpu.lock    the build without CUDA, which other indexes have; only where pip finds it here
#
# They hold no address: whoever installs says where files come from, and the hashes say which files they must be.
set -euo pipefail
cd "$(dirname "$0")/../.."
bin=.venv/bin
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

compile() { # FILE OPTION...: pins and hashes to standard output
  "$bin/uv" pip compile "$@" --quiet --generate-hashes --no-annotate --no-header \
    --python-version 3.11 --python-platform x86_64-manylinux_2_28
}

header() { printf '# %s\n' "$1" 'Written by `make lock`; `make setup` installs it and takes no other file than these.'; }

names() { grep -oE '^[A-Za-z0-9._-]+==' "$1" | tr -d '=' || true; }

"$bin/python" -m pip list --format freeze --exclude-editable | sed 's/+cpu$//' | grep -v '^pip==' > "$work/installed"
torch=$(grep '^torch==' "$work/installed")
grep -v '^torch==' "$work/installed" > "$work/others"
{
  header "Everything but torch, whose builds have lock files of their own."
  compile "$work/others" --no-deps
} > "$work/requirements.lock"

echo "$torch" > "$work/torch"
left_out=()
for name in $(names "$work/others"); do left_out+=(--no-emit-package "$name"); done
{
  header "torch as the public index has it, and the CUDA libraries that it asks for."
  compile "$work/torch" --constraint "$work/others" "${left_out[@]}"
} > "$work/requirements-torch-cuda.lock"

if "$bin/python" -m pip download --quiet --no-deps --dest "$work/cpu" "$torch+cpu" 2> "$work/said"; then
  {
    header "torch without CUDA: another file of the same version, from an index that has it."
    printf '%s \\\n' "$torch+cpu"
    "$bin/python" -m pip hash "$work"/cpu/*.whl | grep -o -- '--hash=.*' | sed 's/^/    /'
  } > "$work/requirements-torch-cpu.lock"
else
  grep -q "^$torch+cpu" requirements-torch-cpu.lock || {
    echo "requirements-torch-cpu.lock is of another version than $torch, and pip finds no $torch+cpu here" >&2
    exit 1
  }
fi
mv "$work"/*.lock .
