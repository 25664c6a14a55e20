#!/bin/sh
# What `make check` tests with besides the PostgreSQL from PyPI: Debian's server, and a pooler. Whoever may install them here
# gets them, without a server of its own being started; for others those tests skip, and say so.
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
