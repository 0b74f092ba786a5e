"""Probing: what the model's parameters hold, asked several times without any document.

A question that is answered right in most draws is known, one that never is, is unknown; those in
between are dropped, as neither answering nor refusing would be honest. The idea is R-Tuning's (Zhang
et al. 2023, arXiv:2311.09677): a model that is taught to answer what it does not know learns to invent.
"""

import json
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise
from pathlib import Path
from typing import Literal

from corpus.errors import ModelError
from corpus.sentences import sentence_spans
from posttrain.judging import Judge
from posttrain.probe_questions import ProbeQuestion
from posttrain.sampling import BatchSampler, Completion
from rag_service.answering.chat_model import Sampling
from rag_service.answering.claims import says_something
from rag_service.answering.conversation import user
from rag_service.evaluation.measures import contains_gold, token_f1, words

Verdict = Literal["known", "unknown", "between"]
Draw = Callable[[Sequence[str]], Sequence[Sequence[Completion]]]
KNOWN_SHARE = 0.75  # 6 of 8
_RIGHT_F1 = 0.6  # "Orson J. Kovacs" for "Orson Kovacs": right, though neither contains the other


@dataclass(frozen=True, slots=True)
class DrawnAnswer:
    """One answer: whether it is right, whether it claims anything at all, whether it came to its end."""

    text: str
    right: bool
    claims: bool
    ended: bool


@dataclass(frozen=True, slots=True)
class ProbeResult:
    """A question's drawn answers."""

    id: str
    draws: tuple[DrawnAnswer, ...]

    @property
    def right(self) -> int:
        """How many draws are right."""
        return sum(draw.right for draw in self.draws)

    @property
    def verdict(self) -> Verdict:
        """Known, unknown, or neither."""
        if self.right >= KNOWN_SHARE * len(self.draws):
            return "known"
        return "between" if self.right else "unknown"


def probe(
    questions: Sequence[ProbeQuestion],
    draw: Draw,
    results: Path,
    *,
    settings: str,
    at_once: int,
    judge: Judge | None = None,
    progress: Callable[[int, int], None] = lambda _done, _total: None,
) -> dict[str, ProbeResult]:
    """Ask every question that has no result yet; return the results of all, by the questions' ids.

    Each batch is appended to the file `results` and flushed to the disk, so a run that was killed
    goes on after its last whole batch. `settings` names model and sampling (and the judge, if there is
    one); the file begins with it.

    Raises:
        ModelError: the file has results of other settings.
    """
    found = {each.id: each for each in _open_results(results, settings)}
    left = [question for question in questions if question.id not in found]
    progress(len(questions) - len(left), len(questions))
    for start in range(0, len(left), at_once):
        batch = left[start : start + at_once]
        answers = draw([question.text for question in batch])
        new = [score(question, drawn, judge) for question, drawn in zip(batch, answers, strict=True)]
        _append(results, new)
        found |= {each.id: each for each in new}
        progress(sum(question.id in found for question in questions), len(questions))
    return {question.id: found[question.id] for question in questions}


def score(question: ProbeQuestion, drawn: Iterable[Completion], judge: Judge | None = None) -> ProbeResult:
    """Hold each answer against the accepted ones; what does not match them is shown to the judge, once."""
    seen: dict[str, bool] = {}
    given_away = contains_gold(question.text, question.answers)

    def is_right(text: str) -> bool:
        if text not in seen:
            said = without_echo(text, question.text) if given_away else text
            matches = contains_gold(said, question.answers) or token_f1(said, question.answers) >= _RIGHT_F1
            seen[text] = matches or (judge is not None and judge(question.text, question.answers, text))
        return seen[text]

    return ProbeResult(question.id, tuple(_scored(each, is_right) for each in drawn))


def without_echo(answer: str, question: str) -> str:
    """Return the answer's words without those runs of two or more that stand in the question.

    "The capital of Gmina Secemin is Rome" has the right "Secemin" in it, from the question.
    """
    asked, said = words(question), words(answer)
    pairs = set(pairwise(asked))
    echoes = [number for number, pair in enumerate(pairwise(said)) if pair in pairs]
    echoed = {place for number in echoes for place in (number, number + 1)}
    return " ".join(word for place, word in enumerate(said) if place not in echoed)


def _scored(completion: Completion, is_right: Callable[[str], bool]) -> DrawnAnswer:
    text = completion.text
    says = any(says_something(text[start:end]) for start, end in sentence_spans(text))
    claims = says and not completion.refused
    return DrawnAnswer(text, claims and is_right(text), claims, completion.end in {"end", "stop"})


def sampled_answers(sampler: BatchSampler, sampling: Sampling, count: int) -> Draw:
    """Return a function that draws `count` answers to each question, with nothing but the question."""

    def draw(questions: Sequence[str]) -> Sequence[Sequence[Completion]]:
        prompts = [sampler.prompt([user(question)]) for question in questions]
        return sampler.sample(prompts, sampling, count=count)

    return draw


def _open_results(path: Path, settings: str) -> Iterator[ProbeResult]:
    """Yield the results of an earlier run; make the file if there is none."""
    if not path.is_file() or not path.stat().st_size:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps({"settings": settings}) + "\n", encoding="utf-8")
        return
    whole, _, torn = path.read_bytes().rpartition(b"\n")
    if torn:  # a kill in the middle of a line
        os.truncate(path, len(whole) + 1)
    first, *lines = whole.decode().splitlines()
    if json.loads(first).get("settings") != settings:
        raise ModelError(f"{path} is of another model or other settings; choose another folder.")
    for line in lines:
        fields = json.loads(line)
        yield ProbeResult(fields["id"], tuple(DrawnAnswer(**draw) for draw in fields["draws"]))


def _append(path: Path, results: Iterable[ProbeResult]) -> None:
    with path.open("a", encoding="utf-8") as file:
        file.writelines(json.dumps(asdict(each), ensure_ascii=False) + "\n" for each in results)
        file.flush()
        os.fsync(file.fileno())
