"""`rag models`: which chat models there are, and which one answers."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from rag_service.cli import terminal
from rag_service.cli.options import AsJson, Limit
from rag_service.cli.workplace import open_database

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

    from corpus.models import AnswerModel
    from corpus.settings import Settings

models = typer.Typer(no_args_is_help=True, help="List published chat models, let one answer, go back.")
_HOW_TO_FORCE = "--force activates it anyway."


@models.command("list")
def list_(*, limit: Limit = 100, as_json: AsJson = False) -> None:
    """List the chat models that were published, oldest first; where none is active, the settings' answers."""
    from rag_service import answer_models
    from rag_service.api.schemas.answer_models import AnswerModelOut

    with open_database() as database, database.read() as session:
        found = answer_models.list_models(session, limit=limit)
        if as_json:
            for each in found:
                terminal.print_json(AnswerModelOut.model_validate(each).model_dump(mode="json"))
            return
    rows = (
        (
            each.id,
            each.name,
            "answers" if each.active else "",
            terminal.day(each.created_at),
            terminal.day(each.activated_at),
            each.path,
        )
        for each in found
    )
    terminal.print_table(("model", "name", "", "registered", "activated", "folder"), rows)


@models.command()
def activate(
    model: Annotated[str, typer.Argument(help="Name or id of a model, or the folder of a published one.")],
    *,
    force: Annotated[bool, typer.Option("--force", help="Also if it is worse than the active one.")] = False,
) -> None:
    """Let a model answer; services that are running switch to it at their next answer.

    Refused if it is worse than the active one on the gate, or made for another base model.
    """
    from corpus.errors import Conflict
    from corpus.settings import Settings
    from rag_service import answer_models

    settings = Settings.load()
    if settings.chat_base_url:
        raise Conflict("The chat model runs on a server (RAG_CHAT_BASE_URL); switch it there.")
    with open_database(settings) as database, database.write() as session:
        row = _known(session, model, settings)
        _check_fits(row, settings)
        if not force:
            answer_models.check_gate(session, row.evaluation, how_to_force=_HOW_TO_FORCE)
        answer_models.activate(session, row)
        typer.echo(f"{row.name} answers from now on.")


@models.command()
def rollback() -> None:
    """Let the model answer that did before the active one, or that of the settings if there was none."""
    from rag_service import answer_models

    with open_database() as database, database.write() as session:
        former = answer_models.rollback(session)
        typer.echo(f"{former.name if former else 'The model of the settings'} answers from now on.")


def _known(session: "Session", model: str, settings: "Settings") -> "AnswerModel":
    """Find a model; a published folder, such as one that came with a release, is registered if it is new."""
    from corpus.errors import AnswerModelNotFound, Conflict
    from rag_service import answer_models
    from rag_service.answering.adapter import load_adapter
    from rag_service.answering.model_files import find_model

    folder = Path(model)
    if not folder.is_dir():
        return answer_models.find_model(session, model)
    base = find_model(settings.chat_model, models_dir=settings.models_dir)
    sha256 = load_adapter(folder, base_sha256=base.sha256).sha256
    try:
        row = answer_models.find_model(session, folder.name)
    except AnswerModelNotFound:
        return answer_models.register(
            session,
            folder,
            base_sha256=base.sha256,
            adapter_sha256=sha256,
            evaluation=answer_models.read_scores(folder),
        )
    if row.adapter_sha256 != sha256:
        raise Conflict(f"Another model is registered as {row.name}; give the folder another name.")
    row.path = str(folder.resolve())  # it may have moved
    return row


def _check_fits(row: "AnswerModel", settings: "Settings") -> None:
    """See that the adapter is the one that was registered, and made for the base model of the settings."""
    from corpus.errors import Conflict
    from rag_service.answering.adapter import load_adapter
    from rag_service.answering.model_files import find_model

    base = find_model(settings.chat_model, models_dir=settings.models_dir)
    if load_adapter(Path(row.path), base_sha256=base.sha256).sha256 != row.adapter_sha256:
        raise Conflict(
            f"The files of {row.name} changed since it was registered; publish it under a new name."
        )
