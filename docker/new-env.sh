#!/bin/sh
# Writes `.env` with random passwords to the repository's root, unless the file exists.
set -eu
cd "$(dirname "$0")/.."
if [ -e .env ]; then
  echo "new-env: .env exists; nothing written" >&2
  exit 1
fi
password() { od -An -N24 -tx1 /dev/urandom | tr -d ' \n'; }
umask 077
sed -e "s/^MONGODB_ROOT_PASSWORD=.*/MONGODB_ROOT_PASSWORD=$(password)/" \
    -e "s/^MONGODB_PASSWORD=.*/MONGODB_PASSWORD=$(password)/" \
    -e "s/^RABBITMQ_PASSWORD=.*/RABBITMQ_PASSWORD=$(password)/" \
    docker/.env.example > .env
echo "new-env: wrote .env"
