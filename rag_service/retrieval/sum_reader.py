"""The sum reader: which results a question over numbers is likely to have, and how likely.

A small chat model writes sums well and chooses them badly: which numbers belong together, and what becomes of
them, is a matter of reading. This reader has learned it: the layers of the embedder, trained on that alone
(`posttrain.sum_reader`). It writes nothing and sees no number's size, only where numbers stand.
"""

from dataclasses import dataclass
from fractions import Fraction
from math import exp
from pathlib import Path

import torch
from torch import Tensor

from corpus.bert_encoder import BertConfig, BertNetwork, read_tensors
from corpus.errors import ModelError
from corpus.four_bits import Unpacking
from rag_service.retrieval.quantities import Problem, ProblemRow, ProblemTokenizer, Results, is_readable
from rag_service.retrieval.reader import WORDS, embedder_of
from rag_service.retrieval.sum_heads import Operation, SumHeads

FILES = "sums*.safetensors"
HEADS, MARK = "heads.", "mark"
_WIDTH = 8  # beginnings that are gone on with
_MOST_STEPS = 4
_LEAST = -7.0  # a logarithm below which no beginning is gone on with


@dataclass(frozen=True, slots=True)
class _Begun:
    log: float
    usable: Tensor
    values: tuple[Fraction, ...]


class SumReader:
    """Reads problems; may be called by several threads at once."""

    def __init__(self, folder: Path, base: Path) -> None:
        """`folder` holds what was trained, `base` the embedder that it was trained from."""
        config = BertConfig.read(base)
        if config is None:
            raise ModelError(f"{base} is no plain BERT model, which the sum reader in {folder} needs.")
        shards = [read_tensors(file) for file in sorted(folder.glob(FILES))]
        saved = Unpacking({name: tensor for shard in shards for name, tensor in shard.items()})
        self._tokenizer = ProblemTokenizer(base)
        words = read_tensors(base / "model.safetensors")[WORDS]
        try:
            # A view of the file that is this reader's own: one page of it is copied, the rest stays shared.
            words[self._tokenizer.mark] += saved[MARK].float()
            own = {name: saved[name] for name in saved if not name.startswith(HEADS) and name != MARK}
            self._network = BertNetwork({WORDS: words} | own, config)
            self._heads = SumHeads(self._network.dimension).eval()
            heads = {
                name.removeprefix(HEADS): saved[name].float() for name in saved if name.startswith(HEADS)
            }
            self._heads.load_state_dict(heads)
        except (KeyError, RuntimeError, ModelError) as error:
            raise ModelError(f"The sum reader in {folder} is not whole ({error}); get it again.") from error

    def results(self, problem: Problem) -> Results:
        """Return the likely results, the likeliest first, with their probabilities.

        Sums of one result count together. Nothing comes of a problem without numbers, with too many, or that
        is too long.
        """
        row = self._tokenizer.row(problem)
        if not is_readable(problem, row):
            return ()
        with torch.inference_mode():
            return self._search(problem, self._usable(row))

    def _usable(self, row: ProblemRow) -> Tensor:
        (hidden,) = self._network.hidden([row.ids], [row.second])
        return self._heads.begin(hidden[list(row.places)][None], hidden[:1])

    def _search(self, problem: Problem, usable: Tensor) -> Results:
        """Beam search over steps; what is done counts for its result."""
        beams = [_Begun(0.0, usable, tuple(problem.values))]
        found: dict[Fraction, float] = {}
        for _ in range(_MOST_STEPS):
            beams = self._step(beams, found)
            if not beams:
                break
        return tuple(sorted(found.items(), key=lambda each: -each[1]))

    def _step(self, beams: list[_Begun], found: dict[Fraction, float]) -> list[_Begun]:
        """Note results in `found`; return the best beginnings that are a step longer."""
        usable = torch.cat([each.usable for each in beams])
        made, scores, places = self._heads.pairs(usable, torch.ones(usable.shape[:2], dtype=torch.bool))
        logs = scores.flatten(1).log_softmax(1)
        best = logs.topk(min(2 * _WIDTH, logs.shape[1]), 1)
        firsts, seconds = places.tolist()
        longer: list[tuple[float, int, int, int, Fraction]] = []
        for number, begun in enumerate(beams):
            for log, choice in zip(best.values[number].tolist(), best.indices[number].tolist(), strict=True):
                pair, operation, done = (
                    choice // 2 // len(Operation),
                    choice // 2 % len(Operation),
                    choice % 2,
                )
                result = Operation(operation).of(begun.values[firsts[pair]], begun.values[seconds[pair]])
                if result is None:
                    continue
                if done:
                    found[result] = found.get(result, 0.0) + exp(begun.log + log)
                else:
                    longer.append((begun.log + log, number, pair, operation, result))
        longer.sort(key=lambda each: -each[0])
        return [
            _Begun(
                log,
                self._heads.add(usable[number : number + 1], made[number : number + 1, pair, operation]),
                (*beams[number].values, result),
            )
            for log, number, pair, operation, result in longer[:_WIDTH]
            if log > _LEAST
        ]


def load_sum_reader(folder: Path) -> SumReader:
    """Load one; the embedder that it was trained from comes from its package.

    Raises:
        ModelNotFound: the folder holds none.
        ModelHashMismatch: it was trained from other weights than those that are installed.
        ModelError: it is damaged.
    """
    return SumReader(folder, embedder_of(folder))
