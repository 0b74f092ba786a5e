"""`/v1/admin/models`: which chat model answers."""

from typing import Annotated

import anyio
from fastapi import APIRouter, Body, Path

from corpus.errors import AnswerModelNotFound, Conflict, InvalidCursor, ModelError, WorseThanActive
from rag_service import answer_models
from rag_service.api import errors
from rag_service.api.cursors import DEFAULT_LIMIT, Cursor, Limit, cut_page, id_after
from rag_service.api.dependencies import NO_NUL, ServiceDep, require
from rag_service.api.errors import KINDS
from rag_service.api.openapi import problems
from rag_service.api.schemas.answer_models import (
    Activation,
    AnsweringModel,
    AnswerModelOut,
    AnswerModelPage,
)
from rag_service.service import Service

router = APIRouter(prefix="/v1/admin/models", tags=["administration"], dependencies=[require("admin")])
ModelId = Annotated[str, Path(max_length=200, pattern=NO_NUL, description="A model's id or name.")]
_SWITCH_PROBLEMS = (KINDS[Conflict], KINDS[ModelError], errors.NOT_READY)


@router.get("", summary="List chat models", responses=problems(KINDS[InvalidCursor], errors.INVALID))
def list_models(service: ServiceDep, limit: Limit = DEFAULT_LIMIT, cursor: Cursor = None) -> AnswerModelPage:
    """Return the published models, oldest first, with their measures."""
    with service.database.read() as session:
        rows = answer_models.list_models(session, limit=limit + 1, after=id_after(cursor))
        page, next_cursor = cut_page(rows, limit, lambda row: row.id)
        return AnswerModelPage(
            data=[AnswerModelOut.model_validate(row) for row in page], next_cursor=next_cursor
        )


@router.post(
    "/rollback",
    summary="Go back to the former chat model",
    responses=problems(*_SWITCH_PROBLEMS),
)
async def rollback(service: ServiceDep) -> AnsweringModel:
    """Let the model answer that did before, or that of the settings if there was none."""
    await anyio.to_thread.run_sync(service.switch.rollback)
    return await anyio.to_thread.run_sync(_answering, service)


@router.post(
    "/{model_id}/activate",
    summary="Let a chat model answer",
    responses=problems(
        errors.MALFORMED,
        errors.TOO_LARGE,
        KINDS[AnswerModelNotFound],
        KINDS[WorseThanActive],
        *_SWITCH_PROBLEMS,
        errors.INVALID,
    ),
)
async def activate(
    model_id: ModelId,
    service: ServiceDep,
    how: Annotated[Activation, Body(description="How to activate.")] = Activation(),  # noqa: B008 - frozen use
) -> AnsweringModel:
    """Load a model and switch to it, without a restart; refused if it is worse than the active one.

    Answers that have begun end with the model that they began with. Other processes of the service switch
    at their next answer.
    """
    await anyio.to_thread.run_sync(lambda: service.switch.activate(model_id, force=how.force))
    return await anyio.to_thread.run_sync(_answering, service)


def _answering(service: Service) -> AnsweringModel:
    with service.database.read() as session:
        active = answer_models.active_model(session)
        return AnsweringModel(
            model=service.chat_model.get().name,
            active=None if active is None else AnswerModelOut.model_validate(active),
        )
