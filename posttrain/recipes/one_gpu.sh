#!/usr/bin/env bash
# One GPU: all layers learn, and the rows of the new tokens with them; bfloat16 where torch allows it.
#
#   posttrain/recipes/one_gpu.sh SOURCES [WORK]
set -euo pipefail
recipes=$(dirname "$0")
PROBES=2000 HELD=200 FIRST_LAYER=0 EPOCHS=2 \
  "$recipes/answerer.sh" "$1" "${2:-runs/one_gpu}" "$recipes/one_gpu.toml" answerer-gpu
