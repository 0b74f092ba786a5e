"""Training on a tiny real Llama: what is learned from, what is not, and what a kill costs."""

import math
import random
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from corpus.errors import ModelError
from posttrain.activations import keep_activations
from posttrain.data.reading import SQUAD, grounded_record
from posttrain.examples import Example, Row, batch_of, example_of, pack
from posttrain.sft import Course, Plan, Point, learning_rate, train
from posttrain.trainee import DESCRIPTIONS, Full, Lora, Trainee, load_trainee
from rag_service.answering.adapter import load_adapter
from rag_service.answering.conversation import SourcePassage, user
from rag_service.answering.local_model import load_chat_model
from rag_service.answering.markers import Marker
from tests.tiny_models import write_tiny_model

pytestmark = [
    pytest.mark.filterwarnings("ignore:.*is_gradient_checkpointing.*:FutureWarning"),
]
LORA = Lora(rank=4, alpha=8)
PLAN = Plan(epochs=2, learning_rate=5e-3, rows_per_step=2, max_length=160, dev_every=1000)
CPU_LORA = replace(LORA, first_layer=1)


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a base model's folder."""
    return write_tiny_model(tmp_path_factory.mktemp("base"))


def examples(trainee: Trainee, count: int = 12) -> list[Example]:
    """Return short conversations, every third a refusal."""
    made = []
    for n in range(count):
        passage = SourcePassage("d1", f"Pump {n} burns {n + 3} litres.")
        answers = () if n % 3 == 2 else (f"{n + 3} litres",)
        record = grounded_record(
            str(n), f"What does pump {n} burn?", passage, answers, split="train", source=SQUAD
        )
        made.append(example_of(record, trainee.template))
    return made


def losses(curve: list[Point]) -> list[float]:
    """Return the losses of a curve."""
    return [point.loss for point in curve]


def test_packed_examples_do_not_see_each_other(base: Path) -> None:
    """The loss of a packed row is the sum of the losses of its examples alone."""
    trainee = load_trainee(base, LORA)
    row = Row(tuple(examples(trainee, 4)))
    together, count = trainee.loss(batch_of(row))
    alone = [trainee.loss(batch_of(Row((example,)))) for example in row.examples]
    assert count == sum(number for _, number in alone)
    assert together.item() == pytest.approx(sum(loss.item() for loss, _ in alone), rel=1e-5)


def test_only_the_assistants_labels_move_the_gradient(base: Path) -> None:
    """Other tokens as labels of question, passages and frames change nothing; any of the assistant's does."""
    trainee = load_trainee(base, LORA)
    example = examples(trainee, 1)[0]
    inputs = batch_of(Row((example,))).ids

    def gradient(labelled: Example) -> torch.Tensor:
        trainee.model.zero_grad()
        batch = replace(batch_of(Row((labelled,))), ids=inputs)  # the same inputs, labels of other tokens
        trainee.loss(batch)[0].backward()  # type: ignore[no-untyped-call]
        grads = (weight.grad for weight in trainee.trainable().values())
        return torch.cat([grad.flatten() for grad in grads if grad is not None])

    def perturbed(places: set[int]) -> Example:
        ids = (other if place in places else id_ for place, id_ in enumerate(example.ids))
        return replace(example, ids=tuple(ids))

    other = trainee.template.vocabulary.encode("ß")[0]
    assert other not in example.ids
    before = gradient(example)
    masked = {place for place, trained in enumerate(example.trained) if not trained}
    assert torch.equal(before, gradient(perturbed(masked)))
    learned = set(range(len(example.ids))) - masked
    assert len(learned) > 10
    assert not any(torch.equal(before, gradient(perturbed({place}))) for place in learned)


def test_training_and_serving_render_the_same_ids(base: Path) -> None:
    """The ids of an example begin with the ids that the service would prompt with."""
    trainee = load_trainee(base, LORA)
    example = examples(trainee, 1)[0]
    prompt = trainee.template.render([user("What does pump 0 burn?")], add_generation_prompt=True)
    assert list(example.ids[: len(prompt.ids)]) == prompt.ids


@pytest.mark.parametrize(
    "how",
    [LORA, CPU_LORA, Full(), Full(first_layer=1)],
    ids=["all layers", "kept activations", "whole model", "upper half of the weights"],
)
def test_loss_falls_and_what_was_trained_is_served(base: Path, tmp_path: Path, how: Lora | Full) -> None:
    """After training the loss is lower, and the service, with what was saved, gives the same logits."""
    trainee = load_trainee(base, how)
    data = examples(trainee)
    kept = keep_activations(trainee, data, tmp_path / "kept", fingerprint="tiny") if how.first_layer else None
    progress = train(trainee, Course(data, activations=kept), replace(PLAN, epochs=8), tmp_path / "adapter")
    assert losses(progress.curve)[-1] < losses(progress.curve)[0] - 0.1

    model, adapter = (base, tmp_path / "adapter") if isinstance(how, Lora) else (tmp_path / "adapter", "")
    served = load_chat_model(str(model), models_dir=tmp_path, adapter=str(adapter), precision="float32")
    ids = list(data[0].ids)
    with torch.no_grad():
        trained = trainee.model(input_ids=torch.tensor([ids])).logits[0, -1]
    assert torch.allclose(served._network.forward(ids), trained, atol=1e-4)


def test_recomputed_activations_give_the_same_gradient(base: Path) -> None:
    """Gradient checkpointing costs time and changes nothing, not even the draws of dropout."""
    gradients = []
    for recompute in (False, True):
        trainee = load_trainee(base, replace(LORA, dropout=0.1), recompute=recompute)
        torch.manual_seed(1)
        trainee.loss(batch_of(Row(tuple(examples(trainee, 3)))))[0].backward()  # type: ignore[no-untyped-call]
        grads = (weight.grad for weight in trainee.trainable().values())
        gradients.append(torch.cat([grad.flatten() for grad in grads if grad is not None]))
    assert torch.equal(*gradients)
    assert gradients[0].abs().sum() > 0


def test_kept_activations_give_the_loss_of_computed_ones(base: Path, tmp_path: Path) -> None:
    """float16 costs less than a thousandth of the loss; a second run takes the file of the first."""
    trainee = load_trainee(base, CPU_LORA)
    data = examples(trainee)
    kept = keep_activations(trainee, data, tmp_path, fingerprint="tiny")
    row = pack(data, max_length=160, seed=0)[0]
    computed, _ = trainee.loss(batch_of(row))
    cheaper, _ = trainee.loss(batch_of(row), kept.of(row))
    assert cheaper.item() == pytest.approx(computed.item(), rel=1e-3)
    before = {path.name: path.stat().st_mtime_ns for path in tmp_path.iterdir()}
    keep_activations(trainee, data, tmp_path, fingerprint="tiny")
    assert before == {path.name: path.stat().st_mtime_ns for path in tmp_path.iterdir()}


def test_a_run_stopped_at_random_steps_has_the_curve_of_an_unbroken_one(base: Path, tmp_path: Path) -> None:
    """Data order, optimiser and random state come back: the losses agree to 1e-5 at every step."""
    trainee = load_trainee(base, replace(LORA, dropout=0.1))
    data = examples(trainee, 24)
    unbroken = losses(train(trainee, Course(data), PLAN, tmp_path / "unbroken").curve)

    choice = random.Random(3)  # noqa: S311 - which steps
    progress = None
    for _ in range(20):
        again = load_trainee(base, replace(LORA, dropout=0.1))
        steps_left = choice.randint(1, 3)
        stops = iter([False] * steps_left + [True])
        progress = train(again, Course(data), PLAN, tmp_path / "broken", stop=lambda stops=stops: next(stops))
        if progress.step == len(unbroken):
            break
    assert progress is not None
    assert losses(progress.curve) == pytest.approx(unbroken, abs=1e-5)


def test_a_checkpoint_of_another_plan_is_refused(base: Path, tmp_path: Path) -> None:
    """Going on with other numbers would be neither run; the error says what to do."""
    trainee = load_trainee(base, LORA)
    data = examples(trainee)
    train(trainee, Course(data), replace(PLAN, epochs=1), tmp_path)
    with pytest.raises(ModelError, match="another folder"):
        train(trainee, Course(data), PLAN, tmp_path)


def test_training_stops_when_development_loss_stalls(base: Path, tmp_path: Path) -> None:
    """With a learning rate of zero nothing gets better, and patience ends the run early."""
    trainee = load_trainee(base, LORA)
    data = examples(trainee)
    plan = replace(PLAN, epochs=10, learning_rate=0.0, dev_every=1, patience=2)
    progress = train(trainee, Course(data, dev=data[:3]), plan, tmp_path)
    assert progress.step == 3


def test_nothing_to_train_on_is_an_error(base: Path, tmp_path: Path) -> None:
    """An empty mix must not end as an adapter that learned nothing."""
    with pytest.raises(ModelError, match="nothing to train on"):
        train(load_trainee(base, LORA), Course([]), PLAN, tmp_path)


def test_learning_rate_warms_up_and_falls_to_its_floor() -> None:
    """It starts above zero, reaches the plan's rate after the warm-up and ends near the floor."""
    plan = Plan(learning_rate=1.0, warmup=0.1, floor=0.1)
    rates = [learning_rate(step, 100, plan) for step in range(100)]
    assert rates[0] == pytest.approx(0.1)
    assert max(rates) == rates[10] == pytest.approx(1.0)
    assert rates[-1] == pytest.approx(0.1, abs=1e-3)


def test_a_run_of_so_many_seconds_ends_with_them_at_its_lowest_rate(
    base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of hundreds of steps those are taken that fit, and the rate falls with the time, not with the steps."""
    seconds = 0.0
    monkeypatch.setattr("posttrain.sft.time", SimpleNamespace(monotonic=lambda: seconds))

    def pass_a_second(_point: Point, _total: int) -> None:
        nonlocal seconds
        seconds += 1.0

    plan = replace(PLAN, epochs=100, seconds=8.0)
    trainee = load_trainee(base, LORA)
    run = train(trainee, Course(examples(trainee)), plan, tmp_path, report=pass_a_second)
    steps = 100 * math.ceil(len(pack(examples(trainee), max_length=plan.max_length, seed=0)) / 2)
    assert [point.step for point in run.curve] == list(range(1, 9))
    wanted = [learning_rate(round(second / 8 * steps), steps, plan) for second in range(8)]
    assert [point.learning_rate for point in run.curve] == pytest.approx(wanted)
    assert run.curve[-1].learning_rate < plan.learning_rate / 4
    assert (tmp_path / "adapter_model.safetensors").is_file()


def test_a_step_that_begins_too_late_is_taken_at_the_lowest_rate(
    base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Half a cosine ends at its floor and does not come up again behind it."""
    seconds = 0.0
    monkeypatch.setattr("posttrain.sft.time", SimpleNamespace(monotonic=lambda: seconds))

    def wait_too_long() -> bool:
        nonlocal seconds
        seconds += 15.0
        return False

    trainee = load_trainee(base, LORA)
    plan = replace(PLAN, epochs=100, seconds=8.0)
    run = train(trainee, Course(examples(trainee)), plan, tmp_path, stop=wait_too_long)
    assert [point.learning_rate for point in run.curve] == pytest.approx([plan.floor * plan.learning_rate])


def test_time_that_is_left_over_changes_nothing(base: Path, tmp_path: Path) -> None:
    """With more seconds than the steps take, the rates are those of a run without."""
    rates = []
    for seconds in (0.0, 1e6):
        trainee = load_trainee(base, LORA)
        course = Course(examples(trainee))
        run = train(trainee, course, replace(PLAN, seconds=seconds), tmp_path / str(seconds))
        rates.append([point.learning_rate for point in run.curve])
    assert rates[0] == rates[1]


def test_a_new_token_can_be_the_likeliest_before_it_learned_anything(base: Path) -> None:
    """At the mean of its words' embeddings its logit would be their mean, which is never the greatest."""
    trainee = load_trainee(base, CPU_LORA)
    vocabulary = trainee.template.vocabulary
    weights = trainee.model.get_input_embeddings().weight.detach()
    row = weights[vocabulary.control[Marker.REFUSAL]]
    words = weights[vocabulary.encode(DESCRIPTIONS[Marker.REFUSAL])]
    step = row - words.mean(dim=0)  # a hidden state that points there
    assert row @ step > (words @ step).max()


def test_new_tokens_learn_only_where_no_activations_are_kept(base: Path) -> None:
    """What is kept holds the tokens as they were."""
    kept = load_trainee(base, CPU_LORA).trainable()
    read_once = load_trainee(base, replace(CPU_LORA, kept=False)).trainable()
    assert not any("trainable_tokens" in name for name in kept)
    assert any("trainable_tokens" in name for name in read_once)


def test_a_run_may_start_from_an_adapter(base: Path, tmp_path: Path) -> None:
    """Before its first step it has the adapter's loss; an adapter of another shape is refused."""
    trainee = load_trainee(base, LORA)
    data = examples(trainee)
    train(trainee, Course(data), PLAN, tmp_path / "first")
    batch = batch_of(Row(tuple(data[:4])))
    start = load_adapter(tmp_path / "first", base_sha256="")
    went_on = load_trainee(base, LORA, seed=1, start=start)
    assert went_on.loss(batch)[0].item() == pytest.approx(trainee.loss(batch)[0].item(), rel=1e-6)
    for other in (replace(LORA, rank=2), replace(LORA, alpha=4), CPU_LORA):
        with pytest.raises(ModelError, match="--rank and --first-layer"):
            load_trainee(base, other, start=start)
