"""The sum reader on a tiny BERT: that it learns, and is served as it was trained."""

from pathlib import Path

import pytest
import torch

from corpus.embedding import hash_weights
from corpus.errors import ModelError, ModelHashMismatch, ModelNotFound
from posttrain.data.sum_problems import solved
from posttrain.data.word_problems import word_problems
from posttrain.sum_reader import (
    SumExample,
    SumPlan,
    SumReaderInTraining,
    can_learn,
    save_sum_reader,
    steps_loss,
    train_sum_reader,
)
from rag_service.retrieval.quantities import Problem, ProblemTokenizer
from rag_service.retrieval.sum_reader import SumReader, load_sum_reader
from tests.tiny_models import write_tiny_encoder

EGGS = "Ada has 8 eggs. She sells 2 eggs. How many eggs are left?"


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a sentence encoder of one narrow layer, with the tokenizer of the shipped one."""
    return write_tiny_encoder(tmp_path_factory.mktemp("base") / "model", 64)


@pytest.fixture(scope="module")
def trained(base: Path) -> tuple[SumReaderInTraining, list[SumExample]]:
    """Return one that has learned some problems, and these."""
    tokenizer = ProblemTokenizer(base)
    found = [each for record in word_problems(24, seed=3) if (each := solved(record)) and can_learn(each, 3)]
    examples = [SumExample(tokenizer.row(each.problem), each.steps) for each in found]
    model = SumReaderInTraining(base, start=None, dropout=0.0)
    plan = SumPlan(learning_rate=2e-3, batch_tokens=512, dropout=0.0)
    train_sum_reader(model, [examples] * 12, plan)
    return model, examples


def test_it_learns(base: Path, trained: tuple[SumReaderInTraining, list[SumExample]]) -> None:
    """What it was trained on is likelier than before."""
    model, examples = trained
    untrained = SumReaderInTraining(base, start=None, dropout=0.0).eval()
    with torch.inference_mode():
        assert steps_loss(model, examples) < 0.4 * steps_loss(untrained, examples)


def test_the_loss_of_a_problem_is_the_same_in_any_batch(
    trained: tuple[SumReaderInTraining, list[SumExample]],
) -> None:
    """What is padded, tokens or numbers, counts for nothing."""
    model, examples = trained
    some = examples[:8]
    steps = [len(each.steps) for each in some]
    with torch.inference_mode():
        alone = sum(float(steps_loss(model, [each])) * count for each, count in zip(some, steps, strict=True))
        assert float(steps_loss(model, some)) == pytest.approx(alone / sum(steps), abs=1e-4)


def test_what_is_served_is_what_was_trained(
    base: Path, trained: tuple[SumReaderInTraining, list[SumExample]], tmp_path: Path
) -> None:
    """From its folder it finds the same first steps, to what four bits keep; results have probabilities."""
    model, _ = trained
    before = hash_weights(base)
    save_sum_reader(model, tmp_path, base_sha256=before)
    reader = SumReader(tmp_path, base)
    assert hash_weights(base) == before  # to whose words the reader's mark was added in memory alone
    problem = Problem.of(EGGS)
    results = reader.results(problem)
    assert [share for _, share in results] == sorted((share for _, share in results), reverse=True)
    assert 0 < sum(share for _, share in results) <= 1 + 1e-6
    row = ProblemTokenizer(base).row(problem)
    with torch.inference_mode():
        usable, there = model.begin([row])
        _, wanted, _ = model.heads.pairs(usable, there)
        _, served, _ = reader._heads.pairs(reader._usable(row), there)
    assert torch.allclose(wanted.softmax(-1), served.softmax(-1), atol=0.1)
    assert int(wanted.argmax()) == int(served.argmax())


def test_sums_of_one_result_count_together(
    base: Path, trained: tuple[SumReaderInTraining, list[SumExample]], tmp_path: Path
) -> None:
    """No result comes twice; of what can not be read there is none."""
    model, _ = trained
    save_sum_reader(model, tmp_path, base_sha256=hash_weights(base))
    reader = SumReader(tmp_path, base)
    results = reader.results(Problem.of("Ada has 4 eggs, 4 cups and 4 cats. How many things are that?"))
    assert len({value for value, _ in results}) == len(results)
    assert reader.results(Problem.of("How many are there?")) == ()
    assert reader.results(Problem.of("How many?", "0 eggs"))  # nothing is divided by nought


def test_what_is_damaged_or_of_another_embedder_is_refused(
    base: Path, trained: tuple[SumReaderInTraining, list[SumExample]], tmp_path: Path
) -> None:
    """With what to do."""
    with pytest.raises(ModelNotFound):
        load_sum_reader(tmp_path)
    save_sum_reader(trained[0], tmp_path, base_sha256=hash_weights(base))
    with pytest.raises(ModelHashMismatch, match="other weights"):
        load_sum_reader(tmp_path)
    (tmp_path / "sums.safetensors").unlink()
    with pytest.raises(ModelError, match="not whole"):
        SumReader(tmp_path, base)
