"""The reader on a tiny BERT: what it learns from, that it learns, and that it is served as it was trained."""

import json
import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn
from transformers import MPNetConfig, MPNetModel

from corpus.bert_encoder import BertConfig as ServedConfig
from corpus.bert_encoder import BertNetwork
from corpus.embedding import hash_weights
from corpus.errors import ModelError, ModelHashMismatch, ModelNotFound
from posttrain.data.reading import SQUAD, grounded_record
from posttrain.larger_reader import Teacher, as_bert, save_larger, write_teacher
from posttrain.reader import (
    ReaderInTraining,
    ReaderPlan,
    average,
    find_spans,
    losses,
    save_reader,
    train_reader,
)
from posttrain.reader_examples import ReaderExample, reader_examples
from posttrain.recipes.distilled_reader import read_pairs, write_pairs
from rag_service.answering.conversation import Record, SourcePassage, user
from rag_service.retrieval.pairs import MOST_TOKENS, PairTokenizer
from rag_service.retrieval.passages import Passage
from rag_service.retrieval.reader import WORDS, Reader, ReaderConfig, load_reader, read_shards
from rag_service.retrieval.readers import read_closely
from rag_service.retrieval.readings import Read, Reading
from tests.passages import passage
from tests.tiny_models import write_tiny_encoder

TEXT = "Agnes burns 13 litres of diesel an hour. Bertil burns 15 litres."


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a sentence encoder of one narrow layer, with the tokenizer of the shipped one."""
    return write_tiny_encoder(tmp_path_factory.mktemp("base") / "model", 48)


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
    (span, _, nowhere) = find_spans(model, [example.pair for example in examples])
    assert examples[0].answers == ((span.first, span.last),)
    assert span.margin > 0 > nowhere.margin
    assert span.relevance == pytest.approx(relevance.item(), abs=1e-4)


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


def test_a_planted_span_is_found_in_a_pair_of_any_length(base: Path) -> None:
    """Heads that see one token of the vocabulary find it, alone or beside pairs that are longer."""
    tokenizer = PairTokenizer(base)
    texts = ["Agnes burns diesel.", "The pump is old. " * 30 + "Agnes burns diesel.", "The pump is old."]
    pairs = [tokenizer.pair("What burns?", "Title", text) for text in texts]
    (wanted,) = set(tokenizer.pair("", "", "diesel").ids) - set(tokenizer.pair("", "", "").ids)

    def edges(batch: list[ReaderExample]) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        longest = max(len(each.pair.ids) for each in batch)
        logits = torch.full((len(batch), longest), -1.0)
        logits[:, 0] = 1.0
        for row, each in enumerate(batch):
            logits[row, [place for place, id_ in enumerate(each.pair.ids) if id_ == wanted]] = 4.0
        return logits, logits, logits[:, 0]

    model = ReaderInTraining(base, seed=0).eval()
    model.forward = edges  # type: ignore[method-assign,assignment]
    short, long, without = find_spans(model, pairs)
    assert [pairs[0].ids[place] for place in (short.first, short.last)] == [wanted, wanted]
    assert [pairs[1].ids[place] for place in (long.first, long.last)] == [wanted, wanted]
    assert (short.margin, without.margin) == (6.0, -4.0)


def test_a_long_text_is_read_in_windows_that_have_all_of_it(base: Path) -> None:
    """Each token is in one window or in two, with its characters; a single pair has as much as fits."""
    tokenizer, text = PairTokenizer(base), " ".join(f"{number} litres" for number in range(500))
    windows = tokenizer.windows("How many?", "Title", text)
    spans = [span for window in windows for span in window.spans]
    assert len(windows) > 2
    assert {text[start:end] for start, end in spans} >= {"0", "litres"}
    ends = [max(end for _, end in window.spans) for window in windows]
    starts = [min(start for start, _ in window.spans) for window in windows]
    assert ends[-1] == len(text)
    assert starts[0] == 0
    assert all(start < end for start, end in zip(starts[1:], ends, strict=False))
    cut = tokenizer.pair("How many?", "Title", text)
    assert len(cut.ids) == MOST_TOKENS > len(windows[0].ids)
    assert tokenizer.windows("How many?", "Title", "A hut.") == [
        tokenizer.pair("How many?", "Title", "A hut.")
    ]


def test_the_mean_of_two_readers_is_a_reader(base: Path, tmp_path: Path) -> None:
    """Each weight lies halfway; the embedder's own words are not written, and the folder is served."""
    for seed in (1, 2):
        save_reader(ReaderInTraining(base, seed=seed), tmp_path / str(seed), base_sha256="abc")
    average([tmp_path / "1", tmp_path / "2"], tmp_path / "mean")
    first, second, mean = (read_shards(tmp_path / name) for name in ("1", "2", "mean"))
    assert mean.keys() == first.keys()
    assert WORDS not in mean
    for name, tensor in mean.items():
        assert tensor.dtype == torch.float16
        torch.testing.assert_close(tensor, ((first[name].float() + second[name].float()) / 2).half())
    assert not torch.equal(mean["span.weight"], first["span.weight"])
    assert ReaderConfig.read(tmp_path / "mean" / "reader.json") == ReaderConfig("abc")
    assert Reader(tmp_path / "mean", base).read("Who?", [passage(1, TEXT)])


def test_readers_that_do_not_belong_together_have_no_mean(base: Path, tmp_path: Path) -> None:
    """Of another embedder, of other tensors, not whole, or none: each is told, and nothing is written."""
    for name in ("one", "other", "wide", "fewer", "empty"):
        base_sha256 = "def" if name == "other" else "abc"
        save_reader(ReaderInTraining(base, seed=1), tmp_path / name, base_sha256=base_sha256)
    tensors = read_shards(tmp_path / "one")
    save_file(tensors | {"span.bias": torch.zeros(3)}, tmp_path / "wide" / "reader-1.safetensors")
    tensors.pop("span.bias")
    save_file(tensors, tmp_path / "fewer" / "reader-1.safetensors")
    (tmp_path / "empty" / "reader-1.safetensors").unlink()
    for name, message in (
        ("other", "another embedder"),
        ("wide", "names or shapes"),
        ("fewer", "names or shapes"),
        ("empty", "not whole"),
        ("missing", "holds no reader"),
    ):
        with pytest.raises(ModelError, match=message):
            average([tmp_path / "one", tmp_path / name], tmp_path / "mean")
    with pytest.raises(ModelError, match="no reader to take"):
        average([], tmp_path / "mean")
    assert not (tmp_path / "mean").exists()


@pytest.fixture(scope="module")
def teacher(base: Path, tmp_path_factory: pytest.TempPathFactory) -> Teacher:
    """Return an MPNet of two narrow layers with weights that tell; it has other numbers for words."""
    torch.manual_seed(0)
    source, work = (tmp_path_factory.mktemp(name) for name in ("mpnet", "work"))
    shape = MPNetConfig(
        hidden_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=96,
        vocab_size=40_000,
        hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,
    )
    model = MPNetModel(shape, add_pooling_layer=False)
    for weight in model.parameters():
        nn.init.normal_(weight, std=0.3)
    model.save_pretrained(source)
    vocabulary = json.loads((base / "tokenizer.json").read_text())["model"]["vocab"]
    special = {"[CLS]": "<s>", "[SEP]": "</s>", "[PAD]": "<pad>", "[MASK]": "<mask>"}
    theirs = {special.get(token, token): 39_999 - number for token, number in vocabulary.items()}
    (source / "tokenizer.json").write_text(json.dumps({"model": {"vocab": theirs}}))
    write_teacher(source, base, work)
    return Teacher(work).eval()


def test_mpnet_is_a_bert_with_a_bias_by_distance(base: Path, teacher: Teacher) -> None:
    """The service's network gives transformers' states, for texts longer than the nearest distances too."""
    config = ServedConfig.read(base)
    assert config
    network = BertNetwork(
        as_bert(teacher), replace(config, layers=2, heads=4, epsilon=1e-5), precision="float32"
    )
    text = " ".join([TEXT] * 12)  # two hundred tokens: distances beyond 128 are one kind
    pairs = [PairTokenizer(base).pair("Who?", "Title", each) for each in (TEXT, text)]

    own = network.hidden([pair.ids for pair in pairs], [pair.second for pair in pairs])

    for pair, states in zip(pairs, own, strict=True):
        with torch.inference_mode():
            theirs = teacher.net(input_ids=teacher.numbers[torch.tensor([pair.ids])]).last_hidden_state[0]
        torch.testing.assert_close(states, theirs, rtol=1e-3, atol=1e-3)
    assert len(pairs[1].ids) > 150


def test_a_reader_of_another_kind_is_kept_in_four_bits(base: Path, teacher: Teacher, tmp_path: Path) -> None:
    """What is served finds what was trained, but for the rounding."""
    save_larger(teacher, tmp_path, base_sha256=hash_weights(base))

    (reading,) = Reader(tmp_path, base).read("What does Agnes burn?", [passage(1, TEXT)])

    with torch.inference_mode():
        starts, _, _ = teacher(some_examples(base)[:1])
    pair = some_examples(base)[0].pair
    wanted = starts[0, pair.first_of_text : len(pair.ids) - 1] - starts[0, 0]
    assert np.corrcoef(reading.starts, wanted.numpy())[0, 1] > 0.7  # about 0 where a part is in a wrong place


def test_a_reader_that_lacks_a_matrix_says_where_it_lies(
    base: Path, teacher: Teacher, tmp_path: Path
) -> None:
    """A file that was not copied along, and levels without their scales."""
    save_larger(teacher, tmp_path, base_sha256=hash_weights(base))
    (file,) = tmp_path.glob("*.safetensors")
    saved = load_file(file)
    for gone in ("span.bias", "encoder.layer.0.output.dense.weight.scales", WORDS + ".four"):
        save_file({name: each for name, each in saved.items() if name != gone}, file)
        with pytest.raises(ModelError, match=re.escape(f"The reader in {tmp_path} is not whole")):
            Reader(tmp_path, base)


def test_pairs_come_back_as_they_were_written(base: Path, tmp_path: Path) -> None:
    """All that training needs of them; where in the text a token stands is left out."""
    examples = some_examples(base)
    write_pairs(examples, tmp_path / "pairs.npz")
    without = [replace(each, pair=replace(each.pair, spans=())) for each in examples]
    assert read_pairs(tmp_path / "pairs.npz") == without


def test_what_is_likeliest_is_read_again_with_care() -> None:
    """The few passages in which the quick reader finds an answer likeliest; but not for a sum."""
    passages = [passage(number, "A b c.") for number in range(5)]

    def reads(bonus: float) -> Read:
        def read(_question: str, some: Sequence[Passage]) -> list[Reading]:
            likely = (0, 3, 1, 4, 2)
            logits = [float(likely[each.chunk_id]) + bonus for each in some]
            nothing = np.zeros(1, np.float32)
            return [Reading(logit, ((0, 1),), nothing, nothing) for logit in logits]

        return read

    both = read_closely(reads(0), reads(100))
    assert [each.relevance for each in both("Who?", passages)] == [0, 53, 1, 54, 52]
    assert [each.relevance for each in both("What do 3 hats cost together?", passages)] == [0, 3, 1, 4, 2]
