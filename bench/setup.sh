#!/bin/sh
# Installs the queues that the bench compares with. What cannot be had here is skipped, loudly; the bench runs without it.
# Debian's programs go where apt puts them (only when this is root); the rest stays in bench/peers.
set -u
cd "$(dirname "$0")"
mkdir -p peers

skipped() { printf '\n  SKIPPED: %s\n\n' "$1" >&2; }

debian() {
    for pair in task-spooler:tsp nq:nq parallel:parallel at:at filespooler:fspl; do
        package=${pair%%:*} program=${pair##*:}
        if command -v "$program" >/dev/null; then echo "$program is there"; continue; fi
        if ! command -v apt-get >/dev/null; then skipped "$package: there is no apt-get"; continue; fi
        if [ "$(id -u)" != 0 ]; then skipped "$package: only root can 'apt-get install $package'"; continue; fi
        [ -e peers/.apt-updated ] || { apt-get update -qq && touch peers/.apt-updated; }
        DEBIAN_FRONTEND=noninteractive apt-get install -qq --yes --no-install-recommends "$package" >/dev/null ||
            skipped "$package: apt-get could not install it"
    done
}

huey() {
    ../.venv/bin/python -m pip install --quiet --disable-pip-version-check huey || skipped "huey: pip could not install it"
}

hypershell() {
    if [ -x peers/hypershell/bin/hs ]; then echo "hs is there"; return; fi
    ../.venv/bin/python -m venv peers/hypershell &&
        peers/hypershell/bin/python -m pip install --quiet --disable-pip-version-check hypershell || {
        rm -rf peers/hypershell
        skipped "hypershell: pip could not install it"
    }
}

pueue() {
    if [ -x peers/pueue/bin/pueue ] || command -v pueue >/dev/null; then echo "pueue is there"; return; fi
    if ! command -v cargo >/dev/null; then skipped "pueue: there is no cargo to build it with"; return; fi
    echo "building pueue, which takes some minutes"
    cargo install --quiet --locked --root peers/pueue pueue || skipped "pueue: cargo could not build it"
}

fleet() {
    for package in procrastinate pgqueuer asyncpg chancy 'psycopg[binary,pool]'; do
        [ -x peers/fleet/python/bin/python ] || ../.venv/bin/python -m venv peers/fleet/python
        peers/fleet/python/bin/python -m pip install --quiet --disable-pip-version-check "$package" ||
            skipped "$package: pip could not install it"
    done
    skipped "oban: it needs Python 3.12 and newer, and the bench has no adapter for it"
}

river() {
    if [ -x peers/fleet/river ]; then echo "river is there"; return; fi
    if ! command -v go >/dev/null; then skipped "river: there is no go to build it with"; return; fi
    (cd fleet_river && go build -o ../peers/fleet/river .) || skipped "river: go could not build it"
}

debian
huey
hypershell
pueue
fleet
river
echo "ready: make bench, make bench-fleet"
