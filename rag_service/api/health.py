"""For machines that watch the service: health, readiness, metrics; and what the kinds of problems mean."""

from typing import Annotated

from fastapi import APIRouter, HTTPException, Path, Request
from fastapi.responses import JSONResponse, PlainTextResponse, Response

from rag_service.api import errors
from rag_service.api.dependencies import ServiceDep, require
from rag_service.api.errors import FieldProblem, Problem, problem_response
from rag_service.api.openapi import open_problems, problems
from rag_service.api.schemas.health import CheckOut, Health, Readiness
from rag_service.metrics import CONTENT_TYPE
from rag_service.readiness import check_readiness

router = APIRouter(tags=["operation"])


@router.head("/healthz", include_in_schema=False)  # what some balancers ask with
@router.get("/healthz", summary="Whether the process answers", responses=open_problems())
async def healthz(request: Request) -> Health:
    """Say that the process is alive; models and database are `/readyz`'s matter."""
    return Health(version=request.app.version)


@router.head("/readyz", include_in_schema=False, response_model=None)
@router.get(
    "/readyz",
    summary="Whether requests can be served",
    responses=open_problems(errors.NOT_READY),
    response_model=Readiness,
)
async def readyz(request: Request, service: ServiceDep) -> Readiness | JSONResponse:
    """Look at the database's revision, the generations, the models, the worker and the queue."""
    checks = await service.threads.run_health_check(lambda: check_readiness(service))
    missing = [
        FieldProblem(check.name, check.problem, "not_ready") for check in checks if check.problem is not None
    ]
    if not missing:
        return Readiness(checks=[CheckOut.model_validate(check) for check in checks])
    detail = "; ".join(item.detail for item in missing) + "."
    return problem_response(request.url.path, Problem(errors.NOT_READY, detail, tuple(missing)))


@router.get(
    "/metrics",
    dependencies=[require("metrics")],
    summary="Metrics for Prometheus",
    response_class=PlainTextResponse,
    responses={200: {"description": "Prometheus' text format."}, **problems()},
)
async def metrics(service: ServiceDep) -> Response:
    """Count requests, answers, waiting documents and loaded models."""
    text = await service.threads.run_health_check(service.metrics.text)
    return Response(text, media_type=CONTENT_TYPE)


@router.get(
    "/problems/{slug}",
    summary="What a kind of problem means",
    response_class=PlainTextResponse,
    responses={
        200: {"description": "The kind's status and meaning."},
        **open_problems(errors.NO_ROUTE, errors.INVALID),
    },
)
async def describe_problem(
    slug: Annotated[str, Path(max_length=100, description="The last part of a problem's `type`.")],
) -> str:
    """Return the meaning of a problem document's `type`."""
    kind = errors.kind_named(slug)
    if kind is None:
        raise HTTPException(404, f"There is no kind of problem {slug!r}.")
    return f"{kind.status} {kind.title}\n"
