#!/bin/sh
# Makes .venv with the program and what its checks need. Called by make when pyproject.toml has changed.
set -eu
cd "$(dirname "$0")/.."
unset PYTHONDONTWRITEBYTECODE

fail() { printf 'make setup: %s\n' "$@" >&2; exit 1; }

new_enough() { "$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1; }

find_python() {
    for name in python3.11 python3.12 python3.13 python3; do
        if new_enough "$name"; then echo "$name"; return; fi
    done
    fail "Python 3.11 or newer is needed, as python3.11, python3.12, python3.13 or python3" \
        "found: $(python3 --version 2>&1 || echo none)"
}

make_venv() {
    python=$(find_python)
    echo "making .venv with $("$python" --version)"
    "$python" -c 'import ensurepip, venv' 2>/dev/null || fail "$python has no ensurepip, so it cannot make a virtual environment" \
        "install it; on Debian and Ubuntu: apt-get install $("$python" -c 'import sys; print("python%d.%d-venv" % sys.version_info[:2])')"
    rm -rf .venv
    "$python" -m venv .venv
}

install() {
    log=.venv/setup.log
    echo "installing the program and what its checks need"
    .venv/bin/python -m pip install --disable-pip-version-check --editable '.[dev]' >"$log" 2>&1 && return
    tail -n 15 "$log" >&2
    if grep -qiE 'connection|resolution|resolve|timed out|unreachable|ProxyError|No matching distribution' "$log"; then
        fail "the packages could not be fetched: is there a network, and does it reach the package index?" \
            "pip takes a mirror from PIP_INDEX_URL and a folder of wheels from PIP_FIND_LINKS; then run make setup again"
    fi
    fail "pip failed; all it said is in $log"
}

# The dashboard's tests drive a real browser. Whoever may install one here gets it; for others they skip, and say so.
browser() {
    for name in chromium chromium-browser google-chrome; do
        if command -v "$name" >/dev/null 2>&1; then return; fi
    done
    if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; then
        echo "installing chromium for the dashboard's tests"
        { timeout 300 apt-get update -qq && DEBIAN_FRONTEND=noninteractive timeout 900 apt-get install -y -qq --no-install-recommends chromium; } \
            >.venv/browser.log 2>&1 && return
        echo "chromium could not be installed; what was said is in .venv/browser.log" >&2
    fi
    echo "NOTE: there is no chromium here, so the dashboard's tests will be skipped; on Debian: apt-get install chromium" >&2
}

{ new_enough .venv/bin/python && .venv/bin/python -m pip --version >/dev/null 2>&1; } || make_venv
install
browser
.venv/bin/python -m compileall -q src .venv/lib >/dev/null || true  # some packages carry files for other versions
touch .venv/.ready
echo "ready: .venv/bin/queuectl --help"
