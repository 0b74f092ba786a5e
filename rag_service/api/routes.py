"""All routes, in the order in which OpenAPI lists them."""

from fastapi import FastAPI

from rag_service.api import collections, documents, health, jobs, search

ROUTERS = (search.router, documents.router, collections.router, jobs.router, health.router)


def add_routes(app: FastAPI) -> None:
    """Add every router."""
    for router in ROUTERS:
        app.include_router(router)
