"""The chat models that may answer: which are known, which one is active, and the gate between them.

`rag-train publish` registers an adapter; `rag models activate` or `POST /v1/admin/models/…/activate` makes
it the active one, and every process of the service follows (`rag_service.switching`). Without an active
one, the model of the settings answers.
"""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from corpus.errors import AnswerModelNotFound, Conflict, InvalidRecord, WorseThanActive
from corpus.ids import new_id
from corpus.models import AnswerModel, now

Measures = Mapping[str, Mapping[str, Any]]  # a measure's name: its value, low, high and count
EVALUATION_FILE = "evaluation.json"  # of a published folder
# What must not get worse, and whether more of it is better.
GATE: Mapping[str, bool] = {
    "contains gold": True,
    "refusal recall": True,
    "over-refusal": False,
    "citation precision": True,
    "follows changed facts": True,
    "arithmetic": True,
    "identity": True,
    "chat perplexity": False,
}


def worse_measures(found: Measures, active: Measures) -> Iterator[str]:
    """Yield what is worse than the active model's: its value lies outside their interval, on the bad side.

    What either lacks is no reason.
    """
    for name, more_is_better in GATE.items():
        value = found.get(name, {}).get("value")
        low, high = active.get(name, {}).get("low"), active.get(name, {}).get("high")
        if value is None or low is None or high is None:
            continue
        if value < low if more_is_better else value > high:
            yield f"{name} is {value:.2f}, the active model's {low:.2f} to {high:.2f}"


def check_gate(session: Session, evaluation: Measures, *, how_to_force: str) -> None:
    """Compare with the active model, if there is one.

    Raises:
        WorseThanActive: a measure of the gate is worse.
    """
    active = active_model(session)
    if active and (worse := list(worse_measures(evaluation, active.evaluation))):
        raise WorseThanActive(f"Worse than {active.name}: {'; '.join(worse)}. {how_to_force}")


def list_models(session: Session, *, limit: int, after: str | None = None) -> list[AnswerModel]:
    """Return the models, oldest first, from behind the id `after` on."""
    statement = select(AnswerModel).order_by(AnswerModel.id).limit(limit)
    if after is not None:
        statement = statement.where(AnswerModel.id > after)
    return list(session.scalars(statement))


def find_model(session: Session, name_or_id: str) -> AnswerModel:
    """Return a model.

    Raises:
        AnswerModelNotFound: none has this name or id.
    """
    matches = (AnswerModel.id == name_or_id) | (AnswerModel.name == name_or_id)
    found = session.scalar(select(AnswerModel).where(matches))
    if found is None:
        raise AnswerModelNotFound(f"There is no model {name_or_id!r}; `rag models list` names them.")
    return found


def active_model(session: Session) -> AnswerModel | None:
    """Return the model that answers; None: that of the settings."""
    return session.scalar(select(AnswerModel).where(AnswerModel.active))


def register(
    session: Session, folder: Path, *, base_sha256: str, adapter_sha256: str, evaluation: Measures
) -> AnswerModel:
    """Make a published folder known, under its own name; it is not active yet.

    Raises:
        Conflict: another model has this name.
    """
    if session.scalar(select(AnswerModel.id).where(AnswerModel.name == folder.name)):
        raise Conflict(f"There is a model {folder.name} already; choose another name.")
    model = AnswerModel(
        id=new_id("mod"),
        name=folder.name,
        path=str(folder.resolve()),
        base_sha256=base_sha256,
        adapter_sha256=adapter_sha256,
        evaluation=dict(evaluation),
    )
    session.add(model)
    session.flush()
    return model


def read_scores(folder: Path) -> Measures:
    """Return the measures that lie beside a published adapter; none if there is no such file.

    Raises:
        InvalidRecord: the file is damaged.
    """
    path = folder / EVALUATION_FILE
    if not path.is_file():
        return {}
    try:
        scores: Measures = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise InvalidRecord(f"{path} is damaged ({error}); publish the model again.") from error
    return scores


def activate(session: Session, model: AnswerModel) -> None:
    """Let a model answer from now on, in the place of the active one."""
    if not model.active:
        _make_active(session, model)


def rollback(session: Session) -> AnswerModel | None:
    """Let the model answer that did before the active one; return it, or None for that of the settings."""
    former = former_model(session)
    _make_active(session, former)
    return former


def former_model(session: Session) -> AnswerModel | None:
    """Return the model to which a rollback leads."""
    served = AnswerModel.activated_at.is_not(None)
    latest = select(AnswerModel).where(~AnswerModel.active, served)
    return session.scalar(latest.order_by(AnswerModel.activated_at.desc()).limit(1))


def _make_active(session: Session, model: AnswerModel | None) -> None:
    session.execute(update(AnswerModel).where(AnswerModel.active).values(active=False))
    if model is not None:
        model.active, model.activated_at = True, now()
    session.flush()
