"""The shapes of what is asked and answered; OpenAPI describes them from here."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, Field


def _number(value: Any) -> Any:
    """JSON has one kind of number: 1.0 is a whole one, and neither "1" nor true is any."""
    if isinstance(value, str | bool):
        raise ValueError("give a number")
    return value


Votes = Annotated[int, Field(ge=1, le=10), BeforeValidator(_number)]
Tries = Annotated[int, Field(ge=0, le=3), BeforeValidator(_number)]
Tokens = Annotated[int, Field(ge=1), BeforeValidator(_number)]
Seed = Annotated[int, Field(ge=-(2**63), le=2**63 - 1), BeforeValidator(_number)]
Cell = int | float | str | None
Question = Annotated[str, Field(min_length=1, max_length=4000, pattern=r"\S")]
Sql = Annotated[str, Field(min_length=1, max_length=100_000, pattern=r"\S")]
Name = Annotated[str, Field(min_length=1, max_length=200, description="a database's name, as /v1/databases lists them")]


class ErrorDetail(BaseModel):
    message: str
    type: str
    code: str | None


class ErrorBody(BaseModel):
    error: ErrorDetail


class Health(BaseModel):
    status: Literal["ok", "failed"] = "ok"
    model: str
    databases: list[str]
    waiting: int = Field(description="questions and queries being answered or waiting for it")
    key_required: bool


class ColumnShape(BaseModel):
    name: str
    type: str
    primary_key: bool


class ForeignKeyShape(BaseModel):
    column: str
    table: str
    references: str


class TableShape(BaseModel):
    name: str
    columns: list[ColumnShape]
    foreign_keys: list[ForeignKeyShape]


class DatabaseShape(BaseModel):
    name: str
    dialect: str = Field(description="sqlite, postgres or mysql")
    tables: list[TableShape]


class Databases(BaseModel):
    databases: list[DatabaseShape]


class Earlier(BaseModel):
    question: Question
    sql: Sql


class Asked(BaseModel):
    database: Name
    question: Question
    earlier: Earlier | None = Field(None, description="what the question follows up")
    vote: Votes = Field(1, description="answers drawn, the commonest result of which wins")
    retry: Tries = Field(1, description="further tries where a query fails")


class Edited(BaseModel):
    database: Name
    sql: Sql
    question: str = Field("", max_length=4000)


class Feedback(BaseModel):
    database: Name
    question: Question
    sql: Sql
    verdict: Literal["good", "fixed"]


class Kept(BaseModel):
    kept: Literal[True] = True


class QueryError(BaseModel):
    category: str
    message: str


class SqlAnswer(BaseModel):
    """SQL and its rows; `error` says why there are none. `row_count` counts all rows, also those beyond the limit."""

    database: str
    question: str
    sql: str
    columns: list[str]
    rows: list[list[Cell]]
    row_count: int
    truncated: bool
    tables: list[str]
    warnings: list[str]
    error: QueryError | None
    ms: float


class Part(BaseModel):
    type: Literal["text"]
    text: str


class Message(BaseModel):
    role: Literal["system", "developer", "user", "assistant"]
    content: str | list[Part]

    @property
    def text(self) -> str:
        return self.content if isinstance(self.content, str) else "".join(part.text for part in self.content)


class StreamOptions(BaseModel):
    include_usage: bool | None = Field(None, strict=True)


class ChatRequest(BaseModel):
    """Fields of OpenAI's API that are not here are ignored."""

    model: str = Field(min_length=1, max_length=400)
    messages: list[Message] = Field(min_length=1, max_length=1000)
    stream: bool | None = Field(None, strict=True)
    stream_options: StreamOptions | None = None
    temperature: float | None = Field(None, ge=0, le=2, allow_inf_nan=False, strict=True, description="0 if not given")
    top_p: float | None = Field(None, ge=0, le=1, allow_inf_nan=False, strict=True)
    max_tokens: Tokens | None = None
    max_completion_tokens: Tokens | None = None
    seed: Seed | None = None
    n: Literal[1] | None = None
    stop: str | Annotated[list[Annotated[str, Field(min_length=1)]], Field(max_length=4)] | None = None

    @property
    def most_tokens(self) -> int | None:
        return self.max_completion_tokens or self.max_tokens

    @property
    def stops(self) -> list[str]:
        found = [self.stop] if isinstance(self.stop, str) else self.stop or []
        return [text for text in found if text]


class Usage(BaseModel):
    prompt_tokens: int
    completion_tokens: int
    total_tokens: int


class ChatMessage(BaseModel):
    role: Literal["assistant"] = "assistant"
    content: str


class Choice(BaseModel):
    index: Literal[0] = 0
    message: ChatMessage
    finish_reason: Literal["stop", "length"]
    logprobs: None = None


class ChatAnswer(BaseModel):
    id: str
    object: Literal["chat.completion"] = "chat.completion"
    created: int
    model: str
    choices: list[Choice]
    usage: Usage


class ModelCard(BaseModel):
    id: str
    object: Literal["model"] = "model"
    created: int
    owned_by: str = "loraql"


class Models(BaseModel):
    object: Literal["list"] = "list"
    data: list[ModelCard]


_TOLD = {
    400: "not JSON, or nothing that can be answered",
    401: "the API key is missing or wrong",
    403: "another site's page, or a Host that is not ours",
    404: "no such database or model",
    408: "the body came too slowly",
    413: "the body is too large",
    415: "the body's type is not JSON",
    422: "a field is missing or wrong",
    429: "too many requests; `Retry-After` says when to come again",
    500: "the server failed",
    503: "the server is stopping",
    504: "over the time limit",
}


def errors(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """These error statuses for a route's description."""
    return {status: {"model": ErrorBody, "description": _TOLD[status]} for status in statuses}


def content(kind: str) -> dict[int | str, dict[str, Any]]:
    """That a route answers with text of this media type, for its description; events have a form of their own."""
    return {200: {"content": {kind: {} if kind == "text/event-stream" else {"schema": {"type": "string"}}}}}


REFUSED = errors(401, 403, 408, 413, 429)
ANSWERED = errors(400, 404, 415, 422, 500, 503, 504)
