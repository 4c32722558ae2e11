"""The app of `loraql serve`: its routes, its page, and the gate before them."""

from importlib.metadata import version
from pathlib import Path
from typing import Any

from fastapi import FastAPI, Security
from fastapi.responses import FileResponse
from fastapi.security import HTTPBearer
from starlette.staticfiles import StaticFiles

from pipeline.serving.errors import ApiError, add_error_handlers
from pipeline.serving.gate import Gate
from pipeline.serving.guards import Guard
from pipeline.serving.limits import BODY_SECONDS, Buckets
from pipeline.serving.openai import openai_routes
from pipeline.serving.service import Service
from pipeline.serving.sql import sql_routes, state_routes

PAGE = Path(__file__).parent / "page"


def make_app(service: Service, *, page: Path = PAGE, body_seconds: float = BODY_SECONDS) -> Gate:
    """An ASGI app that answers for the service."""
    # Swagger's and ReDoc's pages would load scripts from elsewhere: only the description is served.
    app = FastAPI(
        title="loraql",
        version=version("loraql"),
        description="Questions in words, answered with SQL and rows.",
        docs_url=None,
        redoc_url=None,
    )
    add_error_handlers(app)
    # The gate checks the key; this only describes it.
    described: list[Any] = [Security(HTTPBearer(auto_error=False))] if service.key else []
    app.include_router(sql_routes(service), dependencies=described)
    app.include_router(openai_routes(service), dependencies=described)
    app.include_router(state_routes(service))

    @app.get("/", include_in_schema=False)
    async def index() -> FileResponse:
        if not (page / "index.html").is_file():
            raise ApiError(404, "this server has no page; its API is under /v1", "not_found")
        return FileResponse(page / "index.html")

    if page.is_dir():
        app.mount("/page", StaticFiles(directory=page))
    service.metrics.count_waiting(lambda: service.desk.waiting)
    return Gate(
        app,
        guard=Guard(service.key, service.hosts),
        buckets=Buckets(service.rate),
        metrics=service.metrics,
        routes=frozenset({*app.openapi()["paths"], "/", "/openapi.json"}),
        body_seconds=body_seconds,
    )
