"""Questions and SQL about the registered databases, what people make of the answers, and the server's own state."""

import threading
from typing import TYPE_CHECKING

from fastapi import APIRouter, Request, Response
from prometheus_client import CONTENT_TYPE_PLAIN_0_0_4

from data.errors import UserError
from pipeline.serving.errors import ApiError
from pipeline.serving.messages import (
    ANSWERED,
    REFUSED,
    Asked,
    ColumnShape,
    Databases,
    DatabaseShape,
    Edited,
    Feedback,
    ForeignKeyShape,
    Health,
    Kept,
    SqlAnswer,
    TableShape,
    content,
    errors,
)
from pipeline.serving.service import Service, hide_path

if TYPE_CHECKING:
    from pipeline.databases import Database


def sql_routes(service: Service) -> APIRouter:
    """The routes under /v1/ that are ours, not OpenAI's."""
    from pipeline.answerer import Options

    router = APIRouter(prefix="/v1", responses=REFUSED)
    described = Databases(databases=[_describe(database) for database in service.databases.values()])

    @router.get("/databases")
    async def databases() -> Databases:
        """The databases that can be asked about, with their tables."""
        return described

    @router.post("/sql", responses=ANSWERED, response_model=SqlAnswer)
    async def sql(asked: Asked, request: Request) -> Response:
        """A question in words, answered with SQL and its rows. Where the query fails, `error` says how."""
        database, earlier = service.database(asked.database), asked.earlier
        options = Options(vote=asked.vote, retry=asked.retry)

        def work(stop: threading.Event) -> Response:
            try:
                answer = service.answerer.answer(
                    database,
                    asked.question,
                    options,
                    earlier=(earlier.question, earlier.sql) if earlier else None,
                    stop=stop,
                )
            except UserError as error:
                raise ApiError(400, hide_path(str(error), database), "cannot_answer") from error
            service.count(answer)
            return _json(service.shape(database, answer))

        return await service.desk.run(request, work)

    @router.post("/run", responses=ANSWERED, response_model=SqlAnswer)
    async def run(edited: Edited, request: Request) -> Response:
        """SQL that a person wrote or edited, run as the model's own is: read-only and within limits."""
        database = service.database(edited.database)

        def work(_: threading.Event) -> Response:
            answer = service.answerer.judge(database, edited.question, edited.sql)
            service.count(answer)
            return _json(service.shape(database, answer))

        return await service.desk.run(request, work)

    @router.post("/feedback", responses=ANSWERED)
    async def feedback(said: Feedback, request: Request) -> Kept:
        """A question with the SQL that is right for it; kept for training."""
        from pipeline.corrections import keep_correction

        database = service.database(said.database)

        def work(_: threading.Event) -> Kept:
            try:
                keep_correction(service.corrections, database.name, said.question, said.sql, said.verdict)
            except UserError as error:
                if isinstance(
                    error.__cause__, OSError
                ):  # its line names a file here, which is not the client's concern
                    raise ApiError(
                        500, "the correction could not be written; ask who runs the server", "not_kept"
                    ) from error
                raise
            return Kept()

        return await service.desk.run(request, work)

    return router


def state_routes(service: Service) -> APIRouter:
    """How the server is."""
    router = APIRouter()

    @router.get("/health", responses={**errors(403), 503: {"model": Health, "description": "the model has failed"}})
    async def health(response: Response) -> Health:
        """Whether the server is up, what it serves, and how busy it is. 503: start it again, its model has failed."""
        failed = service.answerer.failed
        response.status_code = 503 if failed else 200
        return Health(
            status="failed" if failed else "ok",
            model=service.answerer.name,
            databases=list(service.databases),
            waiting=service.desk.waiting,
            key_required=service.key is not None,
        )

    @router.get("/metrics", responses={**content("text/plain"), **errors(401, 403)}, response_class=Response)
    async def metrics() -> Response:
        """Figures for Prometheus."""
        return Response(service.metrics.text(), media_type=CONTENT_TYPE_PLAIN_0_0_4)

    return router


def _json(answer: SqlAnswer) -> Response:
    """Written in the thread that has the answer: large ones take their time."""
    return Response(answer.model_dump_json(), media_type="application/json")


def _describe(database: "Database") -> DatabaseShape:
    return DatabaseShape(
        name=database.name,
        dialect=database.dialect,
        tables=[
            TableShape(
                name=table.name,
                columns=[
                    ColumnShape(name=column.name, type=column.type, primary_key=column.name in table.primary_key)
                    for column in table.columns
                ],
                foreign_keys=[
                    ForeignKeyShape(column=key.column, table=key.parent_table, references=key.parent_column)
                    for key in table.foreign_keys
                ],
            )
            for table in database.schema.tables
        ],
    )
