"""Publishing: an adapter with its card in a folder that the service can use, known to the database.

An adapter that is worse than the active one on the gate is not published unless that is forced.
"""

import json
import shutil
import tempfile
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from sqlalchemy import select
from sqlalchemy.orm import Session

from corpus.errors import Conflict, ModelError
from corpus.models import AnswerModel
from posttrain.evaluate import Evaluation
from posttrain.evaluation_report import evaluation_markdown
from posttrain.sharding import write_shards
from rag_service.answer_models import EVALUATION_FILE, check_gate, register
from rag_service.answering.adapter import CONFIG_FILE, WEIGHTS_STEM, load_adapter, read_weights
from rag_service.answering.conversation import Record
from rag_service.answering.model_files import ModelFiles, sha256_of

_RIGHT_ENOUGH, _REFUSES_TOO_MUCH = 0.5, 0.2
LARGEST_FILE = 16 << 20  # bytes; larger ones are not for a repository


@dataclass(frozen=True, slots=True)
class Origin:
    """What the adapter was made from: its data, the recipe's text, and the evaluation before training."""

    records: tuple[Record, ...]
    recipe: str
    before: Evaluation | None = None


def publish(
    session: Session,
    adapter: Path,
    base: ModelFiles,
    evaluation: Evaluation,
    origin: Origin,
    *,
    folder: Path,
    force: bool = False,
) -> AnswerModel:
    """Write the adapter in half precision, its tokenizer, its card and its scores, and register it.

    It is not active yet. `folder` is new; its name becomes the model's.

    Raises:
        WorseThanActive: on the gate, and not forced.
        Conflict: the folder or the name is taken.
        ModelError: the evaluation is of another model, or a file is too large.
    """
    _check_evaluated(adapter, base, evaluation)
    measures = {name: asdict(found) for name, found in evaluation.measures.items()}
    if not force:
        check_gate(session, measures, how_to_force="--force publishes it anyway.")
    if folder.exists() or session.scalar(select(AnswerModel.id).where(AnswerModel.name == folder.name)):
        raise Conflict(f"There is a model {folder.name} already; choose another name.")
    folder.parent.mkdir(parents=True, exist_ok=True)
    draft = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", dir=folder.parent))
    try:
        _write(draft, adapter, base, evaluation, origin, name=folder.name)
        sha256 = load_adapter(draft, base_sha256=base.sha256).sha256
        draft.chmod(0o755)
        for path in draft.iterdir():
            path.chmod(0o644)  # safetensors writes for the owner alone
        draft.rename(folder)
    except BaseException:
        shutil.rmtree(draft, ignore_errors=True)
        raise
    return register(session, folder, base_sha256=base.sha256, adapter_sha256=sha256, evaluation=measures)


def reads_well(evaluation: Evaluation) -> bool:
    """Whether the adapter's own words about passages may stand in the service, by its evaluation.

    Where not, the service answers with the sentence of the source that fits best: right more often than an
    adapter that has the gold answer in fewer than half of its replies, or that refuses one in five.
    """
    right, refuses = (evaluation.measures.get(name) for name in ("contains gold", "over-refusal"))
    answers = right is None or right.value is None or right.value >= _RIGHT_ENOUGH
    return answers and (refuses is None or refuses.value is None or refuses.value <= _REFUSES_TOO_MUCH)


def _check_evaluated(adapter: Path, base: ModelFiles, evaluation: Evaluation) -> None:
    sha256 = load_adapter(adapter, base_sha256=base.sha256).sha256
    if (evaluation.base_sha256, evaluation.adapter_sha256) != (base.sha256, sha256):
        raise ModelError("The evaluation is of another model; run `rag-train eval` with this adapter.")


def _write(
    folder: Path, adapter: Path, base: ModelFiles, evaluation: Evaluation, origin: Origin, *, name: str
) -> None:
    write_shards(read_weights(adapter), folder, WEIGHTS_STEM)
    config = json.loads((adapter / CONFIG_FILE).read_text(encoding="utf-8"))
    config |= {"base_model_name_or_path": base.name, "base_sha256": base.sha256}  # no path of this machine
    config["reads"] = reads_well(evaluation)
    (folder / CONFIG_FILE).write_text(json.dumps(config, indent=1) + "\n", encoding="utf-8")
    shutil.copyfile(adapter / "tokenizer.json", folder / "tokenizer.json")
    scores = {key: asdict(found) for key, found in evaluation.measures.items()}
    (folder / EVALUATION_FILE).write_text(json.dumps(scores, indent=1) + "\n", encoding="utf-8")
    hashes = {path.name: sha256_of(path) for path in sorted(folder.iterdir())}
    card = model_card(name, base, evaluation, origin, hashes)
    (folder / "README.md").write_text(card, encoding="utf-8")
    for path in folder.iterdir():
        if path.stat().st_size > LARGEST_FILE:
            raise ModelError(f"{path.name} would have more than 16 MiB; train with a smaller rank.")


def model_card(
    name: str, base: ModelFiles, evaluation: Evaluation, origin: Origin, hashes: Mapping[str, str]
) -> str:
    """Return the card: what it is, what it was made from and under which licences, and how good it is."""
    compared = [origin.before, evaluation] if origin.before else [evaluation]
    files = [f"| {file} | `{value}` |" for file, value in hashes.items()]
    return f"""# {name}

A LoRA adapter in half precision for {base.name} (weights' sha256 `{base.sha256}`). It was trained to
answer from passages with citations, to refuse where they do not say, to call search and calculator, and
to say who it is. It is small and makes mistakes: check what it cites.

## Data

{_data_table(origin.records)}

## Recipe

```
{origin.recipe.strip()}
```

## Scores

Shares with 95% bootstrap intervals; the last column is this model.

{evaluation_markdown(compared)}
## Files

| file | sha256 |
|---|---|
{chr(10).join(files)}
"""


def _data_table(records: Iterable[Record]) -> str:
    counts = Counter((record.meta.source, record.meta.license, record.task) for record in records)
    lines = ["| source | licence | task | records |", "|---|---|---|--:|"]
    lines += [
        f"| {source} | {licence} | {task} | {count} |"
        for (source, licence, task), count in sorted(counts.items())
    ]
    return "\n".join(lines)
