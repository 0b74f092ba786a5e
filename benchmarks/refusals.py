"""Lists what the fixed set of refusals catches among answers of many models, and what it may have missed.

    .venv/bin/python benchmarks/refusals.py --mtrag FILE [--list]

FILE is the MT-RAG benchmark's human evaluation, as for `groundedness.py`. Whether a question can be answered
is its people's judgement. `--list` prints the answers themselves, for reading: first those that count as
refusals, then those that do not although something in their first words denies.
"""

import argparse
import re
from collections import Counter
from pathlib import Path

from groundedness import read_json

from rag_service.answering.refusals import is_refusal

FIRST_WORDS = 120  # characters
_DENIES = re.compile(
    r"\b(?:not|no|cannot|can't|don't|doesn't|isn't|unable|sorry|unfortunately|unknown|apolog\w+)\b",
    re.IGNORECASE,
)


def main() -> None:
    """Count and list."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--mtrag", type=Path, required=True)
    parser.add_argument("--list", action="store_true")
    arguments = parser.parse_args()
    data = read_json(arguments.mtrag)
    tasks = {each["task_id"]: each for each in data["tasks"]}
    counts = Counter[tuple[str, bool]]()
    caught, doubtful = [], []
    for each in data["evaluations"]:
        kind, text = tasks[each["task_id"]]["Answerability"][0].lower(), each["model_response"].strip()
        refusal = is_refusal(text)
        counts[kind, refusal] += 1
        if refusal:
            caught.append((kind, text))
        elif _DENIES.search(text[:FIRST_WORDS]):
            doubtful.append((kind, text))
    for kind in dict.fromkeys(kind for kind, _ in counts):
        print(f"{kind:<16}{counts[kind, True]:>4} refusals of {counts[kind, True] + counts[kind, False]}")
    print(f"{len(doubtful)} other answers deny something in their first {FIRST_WORDS} characters")
    for name, found in (("refusal", caught), ("doubtful", doubtful)) if arguments.list else ():
        for kind, text in found:
            print(f"{name} | {kind} | {' '.join(text[:300].split())}")


if __name__ == "__main__":
    main()
