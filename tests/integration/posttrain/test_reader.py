"""The reader on a tiny BERT: what it learns from, that it learns, and that it is served as it was trained."""

import json
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from transformers import BertConfig, BertModel

from corpus.embedding import find_model, hash_weights
from corpus.errors import ModelError, ModelHashMismatch, ModelNotFound
from posttrain.data.reading import SQUAD, grounded_record
from posttrain.reader import ReaderInTraining, ReaderPlan, losses, save_reader, train_reader
from posttrain.reader_examples import ReaderExample, reader_examples
from rag_service.answering.conversation import Record, SourcePassage, user
from rag_service.retrieval.pairs import PairTokenizer
from rag_service.retrieval.reader import BASE, Reader, load_reader
from tests.passages import passage

TEXT = "Agnes burns 13 litres of diesel an hour. Bertil burns 15 litres."


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a sentence encoder of one narrow layer, with the tokenizer of the shipped one."""
    folder = tmp_path_factory.mktemp("base") / "model"
    shutil.copytree(find_model(BASE), folder, ignore=shutil.ignore_patterns("*.safetensors"))
    shape = json.loads((folder / "config.json").read_text())
    shape |= {"hidden_size": 48, "num_hidden_layers": 1, "num_attention_heads": 4, "intermediate_size": 64}
    (folder / "config.json").write_text(json.dumps(shape))
    torch.manual_seed(0)
    model = BertModel(BertConfig(**shape), add_pooling_layer=False)
    save_file(model.state_dict(), folder / "model.safetensors", metadata={"format": "pt"})
    return folder


def record(number: int, question: str, gold: str) -> Record:
    """Return a record over `TEXT`; without gold a refusal."""
    return grounded_record(
        str(number),
        question,
        SourcePassage("d1", TEXT, "Title"),
        [gold] if gold else (),
        split="train",
        source=SQUAD,
    )


def some_examples(base: Path) -> list[ReaderExample]:
    """Return two questions with an answer and one without."""
    tokenizer = PairTokenizer(base)
    records = [
        record(0, "What does Agnes burn?", "13 litres"),
        record(1, "What does Bertil burn?", "15 litres"),
        record(2, "Who wrote Hamlet?", ""),
    ]
    return list(reader_examples(records, tokenizer))


def test_an_answer_is_found_as_whole_words_of_the_text(base: Path) -> None:
    """Its tokens say the answer; "3 litres" does not stand in "13 litres"."""
    tokenizer = PairTokenizer(base)
    (example,) = reader_examples([record(0, "What does Agnes burn?", "13 litres")], tokenizer)
    ((first, last),) = example.answers
    spans = example.pair.spans[first - example.pair.first_of_text : last - example.pair.first_of_text + 1]
    assert TEXT[spans[0][0] : spans[-1][1]] == "13 litres"
    assert not list(reader_examples([record(0, "What?", "3 litres")], tokenizer))


def test_a_yes_is_no_place_in_the_text(base: Path) -> None:
    """The passage answers, and no span is learned; follow-ups, which do not stand alone, are left out."""
    (example,) = reader_examples([record(0, "Does Agnes burn diesel?", "Yes")], PairTokenizer(base))
    assert (example.answered, example.answers) == (True, ())
    follow_up = grounded_record(
        "1",
        "And Bertil?",
        SourcePassage("d1", TEXT),
        ["15 litres"],
        split="train",
        source=SQUAD,
        history=(user("What does Agnes burn?"),),
    )
    assert not list(reader_examples([follow_up], PairTokenizer(base)))


def test_it_learns_and_what_is_served_is_what_was_trained(base: Path, tmp_path: Path) -> None:
    """After training the losses are lower; from its folder it gives the same logits, to half precision."""
    examples = some_examples(base)
    seen: list[float] = []
    plan = ReaderPlan(epochs=40, learning_rate=3e-3, batch_tokens=512)
    model = train_reader(base, examples, plan, report=lambda loss: seen.append(loss.span + loss.relevance))
    assert seen[-1] < seen[0] / 2
    save_reader(model, tmp_path, base_sha256=hash_weights(base))
    (read,) = Reader(tmp_path, base).read("What does Agnes burn?", [passage(1, TEXT)])
    found = read.best()
    assert found is not None
    assert TEXT[found.start : found.end] == "13 litres"
    with torch.no_grad():
        starts, _, relevance = model([examples[0]])
    told = starts[0, examples[0].pair.first_of_text : -1] - starts[0, 0]
    assert torch.allclose(torch.from_numpy(read.starts), told, atol=0.25)
    assert read.relevance == pytest.approx(relevance.item(), abs=0.25)


def test_several_places_share_the_probability(base: Path) -> None:
    """The loss of two right places is below that of either alone."""
    model = ReaderInTraining(base, seed=0).eval()
    (example,) = some_examples(base)[:1]
    with torch.no_grad():
        starts, ends, relevance = model([example])
    (first, last) = example.answers[0]
    others = [ReaderExample(example.pair, answered=True, answers=((at, at),)) for at in (first, last)]
    both = ReaderExample(example.pair, answered=True, answers=((first, first), (last, last)))
    alone = [losses([each], starts, ends, relevance)[0] for each in others]
    assert losses([both], starts, ends, relevance)[0] < min(alone)


def test_a_folder_that_is_no_reader_is_refused(base: Path, tmp_path: Path) -> None:
    """None there, one of other weights, and one that lacks a file."""
    with pytest.raises(ModelNotFound):
        load_reader(tmp_path)
    save_reader(ReaderInTraining(base, seed=0), tmp_path, base_sha256="0" * 64)
    with pytest.raises(ModelHashMismatch):
        load_reader(tmp_path)
    for file in tmp_path.glob("*.safetensors"):
        file.unlink()
    with pytest.raises(ModelError, match="not whole"):
        Reader(tmp_path, base)
