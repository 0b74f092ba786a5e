"""All routes, in the order in which OpenAPI lists them."""

from fastapi import FastAPI

from rag_service.api import (
    administration,
    answer_models,
    answers,
    api_keys,
    chat_completions,
    collections,
    documents,
    evaluations,
    health,
    jobs,
    openai_models,
    search,
    tokens,
    traces,
)
from rag_service.web import page

ROUTERS = (
    answers.router,
    search.router,
    chat_completions.router,
    openai_models.router,
    documents.router,
    jobs.router,
    collections.router,
    traces.router,
    tokens.router,
    administration.router,
    evaluations.router,
    answer_models.router,
    api_keys.router,
    health.router,
    page.router,
)


def add_routes(app: FastAPI) -> None:
    """Add every router."""
    for router in ROUTERS:
        app.include_router(router)
