#!/usr/bin/env bash
# A released schema's database as text, with the binaries of that release: two runs that end well, two
# that wait.   schema.sh BIN_DIR > schema-NNNN.sql
set -euo pipefail
bin=$(realpath "$1")
cd "$(mktemp -d)"
sweep() {
  cat <<YAML
name: $1
model: {name: vit_mini_patch4_28, pretrained: false}
dataset: {name: fashion_mnist, train_limit: 256, eval_limit: 128, batch_size: 64}
training: {method: $2, num_epochs: 1, learning_rate: 1e-3}
matrix:
  seed: [1, 2]
YAML
}
sweep golden full > full.yaml
sweep golden-lora lora > lora.yaml
"$bin/qctl" run full.yaml >&2
"$bin/qctl" submit lora.yaml >&2
db=qsweep-data/qsweep.db
echo "-- A database of $("$bin/qscheduler" --version) (schema $(sqlite3 $db 'PRAGMA user_version')), made by"
echo "-- schema.sh beside this file: two runs that ended well and two that wait."
sqlite3 $db .dump
echo "PRAGMA user_version = $(sqlite3 $db 'PRAGMA user_version');"
