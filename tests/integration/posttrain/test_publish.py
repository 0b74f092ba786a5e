"""Publishing a real adapter of a tiny model into a folder and a real database."""

import json
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from sqlalchemy import select

from corpus.errors import Conflict, ModelError, WorseThanActive
from corpus.models import AnswerModel
from posttrain.data.reading import SQUAD, grounded_record
from posttrain.evaluate import Evaluation
from posttrain.publish import Origin, publish, reads_well
from posttrain.sharding import write_shards
from posttrain.trainee import Lora, load_trainee
from rag_service.answering.adapter import load_adapter
from rag_service.answering.conversation import SourcePassage
from rag_service.answering.model_files import ModelFiles, find_model
from rag_service.evaluation.measures import Estimate
from tests.factories import migrated_database
from tests.tiny_models import write_tiny_model

pytestmark = pytest.mark.filterwarnings("ignore:.*is_gradient_checkpointing.*:FutureWarning")
RECORD = grounded_record("1", "Who?", SourcePassage("p", "Ann."), ["Ann"], split="train", source=SQUAD)
ORIGIN = Origin((RECORD,), "records = 1")


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> ModelFiles:
    """Return a tiny base model."""
    folder = write_tiny_model(tmp_path_factory.mktemp("base"))
    return find_model(str(folder), models_dir=folder)


@pytest.fixture(scope="module")
def adapter(base: ModelFiles, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return an adapter's folder, as training writes it."""
    folder = tmp_path_factory.mktemp("adapter")
    load_trainee(base.folder, Lora(rank=2, alpha=4)).save(folder)
    return folder


def evaluated(base: ModelFiles, adapter: Path, gold: float) -> Evaluation:
    """Return an evaluation of the adapter with one measure of the gate."""
    sha256 = load_adapter(adapter, base_sha256=base.sha256).sha256
    measures = {"contains gold": Estimate(gold, gold - 0.1, gold + 0.1, 50)}
    return Evaluation("tiny+adapter", base.sha256, sha256, measures, ())


def test_a_published_adapter_is_loadable_described_and_registered(
    base: ModelFiles, adapter: Path, tmp_path: Path
) -> None:
    """Half precision, no path of this machine, licences in the card, one row that is not active."""
    database = migrated_database(tmp_path)
    folder = tmp_path / "models" / "tiny-1"
    try:
        with database.write() as session:
            publish(session, adapter, base, evaluated(base, adapter, 0.5), ORIGIN, folder=folder)
        with database.read() as session:
            row = session.scalars(select(AnswerModel)).one()
            assert (row.name, row.path, row.active) == ("tiny-1", str(folder), False)
            assert row.adapter_sha256 == load_adapter(folder, base_sha256=base.sha256).sha256
            assert row.evaluation["contains gold"]["value"] == 0.5
        with (
            pytest.raises(Conflict, match="another name"),
            database.write() as session,
        ):
            publish(session, adapter, base, evaluated(base, adapter, 0.5), ORIGIN, folder=folder)
    finally:
        database.close()
    with safe_open(folder / "adapter_model.safetensors", "pt") as file:
        assert {file.get_slice(name).get_dtype() for name in file.keys()} == {"F16"}  # noqa: SIM118 - no dict
    config = json.loads((folder / "adapter_config.json").read_text(encoding="utf-8"))
    assert str(tmp_path.parent) not in json.dumps(config)
    assert config["base_sha256"] == base.sha256
    assert config["reads"] is True
    card = (folder / "README.md").read_text(encoding="utf-8")
    assert "| SQuAD 2.0 | CC BY-SA 4.0 | rag_answer | 1 |" in card
    assert "| contains gold | 50 | 0.50 [0.40, 0.60] |" in card
    assert [path.name for path in folder.parent.iterdir()] == ["tiny-1"]
    assert all(path.stat().st_mode & 0o044 for path in folder.iterdir())  # anybody may serve it


def test_a_large_adapter_is_published_in_parts(
    base: ModelFiles, adapter: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No file above the limit, all of them in the card, and together what was trained."""
    monkeypatch.setattr("posttrain.publish.write_shards", partial(write_shards, most=3000))
    database = migrated_database(tmp_path)
    folder = tmp_path / "models" / "parts"
    try:
        with database.write() as session:
            publish(session, adapter, base, evaluated(base, adapter, 0.5), ORIGIN, folder=folder)
        with database.read() as session:
            sha256 = session.scalars(select(AnswerModel)).one().adapter_sha256
    finally:
        database.close()
    parts = sorted(path.name for path in folder.glob("*.safetensors"))
    assert len(parts) > 2
    assert parts[0] == f"adapter_model-00001-of-{len(parts):05d}.safetensors"
    card = (folder / "README.md").read_text(encoding="utf-8")
    assert all(f"| {name} | `" in card for name in parts)
    published, trained = (load_adapter(each, base_sha256=base.sha256) for each in (folder, adapter))
    assert published.sha256 == sha256
    assert published.tensors.keys() == trained.tensors.keys()
    assert all(torch.equal(published.tensors[name], each.half()) for name, each in trained.tensors.items())


def test_an_adapter_that_reads_badly_is_published_as_one(base: ModelFiles, adapter: Path) -> None:
    """Half of the gold answers, and four in five answerable questions answered, are the least."""
    good = evaluated(base, adapter, 0.5)
    assert not reads_well(evaluated(base, adapter, 0.3))
    assert reads_well(replace(good, measures={**good.measures, "over-refusal": Estimate(0.2, 0.1, 0.3, 50)}))
    refuses = {**good.measures, "over-refusal": Estimate(0.5, 0.4, 0.6, 50)}
    assert not reads_well(replace(good, measures=refuses))


def test_an_adapter_worse_than_the_active_one_is_refused_unless_forced(
    base: ModelFiles, adapter: Path, tmp_path: Path
) -> None:
    """Refused, it leaves neither files nor rows; forced, it is there."""
    database = migrated_database(tmp_path)
    models = tmp_path / "models"
    try:
        with database.write() as session:
            good = evaluated(base, adapter, 0.9)
            publish(session, adapter, base, good, ORIGIN, folder=models / "good").active = True
        bad = evaluated(base, adapter, 0.2)
        with (
            pytest.raises(WorseThanActive, match="contains gold"),
            database.write() as session,
        ):
            publish(session, adapter, base, bad, ORIGIN, folder=models / "bad")
        assert not (models / "bad").exists()
        with database.write() as session:
            publish(session, adapter, base, bad, ORIGIN, folder=models / "bad", force=True)
        assert (models / "bad" / "README.md").is_file()
    finally:
        database.close()


def test_an_evaluation_of_another_adapter_is_refused(base: ModelFiles, adapter: Path, tmp_path: Path) -> None:
    """Scores in the card are always those of the files beside it."""
    database = migrated_database(tmp_path)
    other = replace(evaluated(base, adapter, 0.5), adapter_sha256="0" * 64)
    try:
        with pytest.raises(ModelError, match="another model"), database.write() as session:
            publish(session, adapter, base, other, ORIGIN, folder=tmp_path / "x")
    finally:
        database.close()
