#!/usr/bin/env bash
# Debian packages and running database servers. Installs only what is missing; starts only what does not answer.
set -eu

missing=()
need() { dpkg -s "$1" >/dev/null 2>&1 || missing+=("$1"); }
for package in build-essential chromium chromium-driver libmariadb-dev pkg-config git gettext; do need "$package"; done
command -v npm >/dev/null || missing+=(npm)
command -v pg_ctlcluster >/dev/null || missing+=(postgresql)
[ -x /usr/sbin/mariadbd ] || missing+=(mariadb-server)
command -v redis-server >/dev/null || missing+=(redis-server)
[ -x /usr/sbin/rabbitmq-server ] || missing+=(rabbitmq-server)
if [ ${#missing[@]} -gt 0 ]; then
    echo "Installing ${missing[*]}"
    apt-get update -qq
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}"
fi

await() {
    for _ in $(seq 60); do
        if "$@" >/dev/null 2>&1; then return 0; fi
        sleep 0.5
    done
    echo "No answer: $*"
    "$@"
}

if ! pg_isready -q -h 127.0.0.1; then
    pg_ctlcluster --skip-systemctl-redirect "$(ls /etc/postgresql)" main start
fi
await pg_isready -h 127.0.0.1
if ! mariadb-admin --host=127.0.0.1 --user="${MARIADB_USER:-root}" --password="${MARIADB_PASSWORD:-}" ping >/dev/null 2>&1; then
    install -d -o mysql -g mysql /run/mysqld
    start-stop-daemon --start --oknodo --background --exec /usr/sbin/mariadbd
fi
await mariadb-admin ping

listens() { (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; }
listens 6379 || redis-server --daemonize yes --bind 127.0.0.1 --port 6379 --save "" --appendonly no --dir /tmp >/dev/null
await listens 6379
listens 5672 || /usr/sbin/rabbitmq-server -detached
await listens 5672

# A server fresh from Debian lets nobody in over TCP without a password: give the tests' user one.
if ! psql -h 127.0.0.1 -U "${POSTGRES_USER:-postgres}" -w -c "SELECT 1" >/dev/null 2>&1; then
    su postgres -c "psql -q -c \"ALTER ROLE postgres PASSWORD 'thanksio'\""
    echo "POSTGRES_PASSWORD=thanksio" >>"$1"
fi
if ! mariadb --host=127.0.0.1 --user="${MARIADB_USER:-root}" --password="${MARIADB_PASSWORD:-}" -e "SELECT 1" >/dev/null 2>&1; then
    mariadb -e "CREATE USER IF NOT EXISTS thanksio@'127.0.0.1' IDENTIFIED BY 'thanksio';
                GRANT ALL ON *.* TO thanksio@'127.0.0.1' WITH GRANT OPTION; CREATE DATABASE IF NOT EXISTS test"
    printf 'MARIADB_USER=thanksio\nMARIADB_PASSWORD=thanksio\n' >>"$1"
fi
pg_isready -h 127.0.0.1
mariadb-admin version | head -1
chromium --version
chromedriver --version
