#!/usr/bin/env bash
# From a bare Debian to a finished sweep: installs, builds, trains a small ViT on half of
# Fashion-MNIST's classes, then LoRA adapters on the other half over four quantizations and two seeds.
set -euo pipefail
cd "$(dirname "$0")"

deploy/install-deps.sh
cmake --preset release
cmake --build --preset release --target qctl qscheduler qworker qtrain
exec build/release/bin/qctl run configs/quickstart-base.yaml configs/quickstart-lora.yaml "$@"
