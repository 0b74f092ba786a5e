#!/usr/bin/env bash
# A night on a few CPU cores: the lower 20 of 30 layers frozen, their activations computed once and kept
# (about 1.1 KB a token on disk). Stopped, it goes on when started again.
#
#   posttrain/recipes/cpu_overnight.sh SOURCES [WORK]
set -euo pipefail
recipes=$(dirname "$0")
PROBES=300 HELD=60 FIRST_LAYER=20 EPOCHS=2 \
  "$recipes/answerer.sh" "$1" "${2:-runs/cpu_overnight}" "$recipes/cpu_overnight.toml" answerer-cpu
