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
}

# Oban wants a newer Python than the others: one that is here, else that of a newer Debian in a folder of its own.
oban() {
    if [ -x peers/fleet/oban-python ]; then echo "oban is there"; return; fi
    for newer in python3.14 python3.13 python3.12 "$HOME"/.pyenv/versions/3.1[2-9]*/bin/python3; do
        "$newer" -c '' 2>/dev/null || continue  # pyenv has words for versions that are not switched on, too
        "$newer" -m venv peers/fleet/oban && peers/fleet/oban/bin/python -m pip install --quiet --disable-pip-version-check oban || {
            skipped "oban: pip could not install it"
            return
        }
        printf '#!/bin/sh\nexec "$(dirname "$0")/oban/bin/python" "$@"\n' >peers/fleet/oban-python
        chmod +x peers/fleet/oban-python
        return
    done
    if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
        skipped "oban: it needs Python 3.12 or newer, and only root can put that of a newer Debian into a folder"
        return
    fi
    echo "a Debian with a newer Python for oban, which takes some minutes"
    oban_debian >peers/oban.log 2>&1 || { rm -rf peers/fleet/debian; skipped "oban: $(tail -1 peers/oban.log)"; }
}

oban_debian() {
    root=$PWD/peers/fleet/debian
    [ -e peers/.apt-updated ] || { apt-get update -qq && touch peers/.apt-updated; }
    DEBIAN_FRONTEND=noninteractive apt-get install -qq --yes --no-install-recommends debootstrap &&
        mirror=$(apt-cache policy debootstrap | awk '$2 ~ /^http/ { print $2; exit }') &&
        debootstrap --variant=minbase --include=python3-venv,python3-dev,g++,ca-certificates trixie "$root" "$mirror" &&
        cp -L /etc/resolv.conf "$root/etc/" &&
        { [ ! -e "${PIP_CERT:-}" ] || cp "$PIP_CERT" "$root/etc/ssl/certs/ca-certificates.crt"; } &&
        chroot "$root" python3 -m venv /oban &&
        chroot "$root" /oban/bin/python -m pip install --quiet --disable-pip-version-check oban &&
        printf '#!/bin/sh\nexec chroot "$(dirname "$(realpath "$0")")/debian" /oban/bin/python "$@"\n' >peers/fleet/oban-python &&
        chmod +x peers/fleet/oban-python
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
oban
river
echo "ready: make bench, make bench-fleet"
