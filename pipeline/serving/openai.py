"""OpenAI's API: the bare model behind its chat template as NAME, questions about a database as NAME/DATABASE.

What is written is sent as it grows (server-sent events) or when it is there, with the tokens that it took.
"""

import asyncio
import contextlib
import json
import secrets
import threading
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from fastapi import APIRouter, Request, Response
from fastapi.responses import StreamingResponse

from data.errors import UserError
from pipeline.batcher import Cancelled
from pipeline.choosing import Decoding
from pipeline.serving.errors import ApiError
from pipeline.serving.messages import (
    ANSWERED,
    REFUSED,
    ChatAnswer,
    ChatMessage,
    ChatRequest,
    Choice,
    ModelCard,
    Models,
    Usage,
    content,
)
from pipeline.serving.service import Service, hide_path
from pipeline.serving.work import Job

if TYPE_CHECKING:
    from pipeline.databases import Database

MOST_TOKENS = 1024  # written to one request, whatever it asks for
LEAST_TOP_P = 1e-6
LOOK_SECONDS = 0.05  # between two looks at whether somebody still waits
ALIVE_SECONDS = 15.0  # proxies close connections on which nothing comes for long


Reason = Literal["stop", "length"]


@dataclass(frozen=True)
class Written:
    """What came of a request."""

    text: str
    prompt_tokens: int
    tokens: int
    finish_reason: Reason

    @property
    def usage(self) -> Usage:
        total = self.prompt_tokens + self.tokens
        return Usage(prompt_tokens=self.prompt_tokens, completion_tokens=self.tokens, total_tokens=total)


class Latest:
    """What is written so far, told by another thread; texts that nobody took in time are passed over."""

    def __init__(self) -> None:
        self._loop, self._changed = asyncio.get_running_loop(), asyncio.Event()
        self.text = ""

    def tell(self, text: str) -> None:
        self.text = text
        with contextlib.suppress(RuntimeError):  # the server has ended
            self._loop.call_soon_threadsafe(self._changed.set)

    async def change(self) -> str:
        await self._changed.wait()
        self._changed.clear()
        return self.text


def openai_routes(service: Service) -> APIRouter:
    router = APIRouter(prefix="/v1", responses=REFUSED)
    name, created = service.answerer.name, int(time.time())
    ids = [name, *(f"{name}/{database}" for database in service.databases)]
    cards = Models(data=[ModelCard(id=one, created=created) for one in ids])

    @router.get("/models")
    async def models() -> Models:
        """The bare model, and the model with each database."""
        return cards

    @router.post("/chat/completions", responses={**content("text/event-stream"), **ANSWERED}, response_model=ChatAnswer)
    async def chat_completions(asked: ChatRequest, request: Request) -> Response:
        """The next message of a chat. Of NAME/DATABASE: SQL for the last user message, run once to see that it works."""
        database = _database(service, asked.model)
        if database is not None and asked.messages[-1].role != "user":
            raise ApiError(400, "the last message has to be the user's question", "no_question")
        latest = Latest()

        def work(stop: threading.Event) -> Written:
            if database is None:
                written = _complete(service, asked, stop, latest.tell)
            else:
                written = _answer(service, database, asked, stop)
            service.metrics.tokens.inc(written.tokens)
            return written

        identity = {"id": f"chatcmpl-{secrets.token_hex(12)}", "created": int(time.time()), "model": asked.model}
        if asked.stream:
            job = service.desk.start(work)
            try:  # what goes wrong before the first word still gets its own status
                await service.desk.wait(request, job, latest.change())
                if job.future.done():
                    service.desk.result(job)
            except BaseException:
                job.stop.set()
                raise
            job.future.add_done_callback(lambda _: latest.tell(latest.text))
            return StreamingResponse(_events(service, asked, job, latest, identity), media_type="text/event-stream")
        written = await service.desk.run(request, work)
        choice = Choice(message=ChatMessage(content=written.text), finish_reason=written.finish_reason)
        answer = ChatAnswer(**identity, choices=[choice], usage=written.usage)
        return Response(answer.model_dump_json(), media_type="application/json")

    return router


def _database(service: Service, model: str) -> "Database | None":
    """What a model's name is about. Raises ApiError 404."""
    name = service.answerer.name
    if model == name:
        return None
    if model.startswith(f"{name}/") and (database := service.databases.get(model[len(name) + 1 :])):
        return database
    raise ApiError(404, f"no model is called {model[:80]!r}; /v1/models lists them", "model_not_found")


def _complete(service: Service, asked: ChatRequest, stop: threading.Event, tell: Callable[[str], None]) -> Written:
    """What the bare model writes. Runs in a thread."""
    answerer, stops = service.answerer, asked.stops
    stopped, latest = threading.Event(), ""

    def on_text(text: str) -> None:
        nonlocal latest
        if not stopped.is_set():
            latest = text
            if any(mark in text for mark in stops):
                stopped.set()
            tell(shown(text, stops))

    messages = [
        {"role": "system" if message.role == "developer" else message.role, "content": message.text}
        for message in asked.messages
    ]
    decoding = Decoding(
        max_new_tokens=min(asked.most_tokens or MOST_TOKENS, MOST_TOKENS, answerer.window // 2),
        temperature=asked.temperature or 0.0,
        top_p=max(asked.top_p if asked.top_p is not None else 1.0, LEAST_TOP_P),
    )
    pending = answerer.complete(messages, decoding, seed=_seed(asked), on_text=on_text)
    prompt_tokens = len(pending.request.ids)
    while True:
        try:
            written = pending.result(LOOK_SECONDS)
            break
        except TimeoutError:
            if stop.is_set():
                pending.cancel()
                raise Cancelled from None
            if stopped.is_set():
                pending.cancel()
                tokens = len(answerer.tokenizer(latest, add_special_tokens=False)["input_ids"])
                return Written(cut(latest, stops), prompt_tokens, tokens, "stop")
    text = cut(written.text, stops)
    ended = written.ended or text != written.text
    return Written(text, prompt_tokens, written.tokens, "stop" if ended else "length")


def _answer(service: Service, database: "Database", asked: ChatRequest, stop: threading.Event) -> Written:
    """SQL for the last user message. Runs in a thread."""
    from pipeline.answerer import Options

    *before, last = asked.messages
    turns = [message for message in before if message.role in ("user", "assistant")]
    earlier = None
    if [message.role for message in turns[-2:]] == ["user", "assistant"]:
        earlier = (turns[-2].text, turns[-1].text)
    options = Options(
        temperature=asked.temperature or 0.0,
        top_p=max(asked.top_p if asked.top_p is not None else 1.0, LEAST_TOP_P),
        max_new_tokens=min(asked.most_tokens, MOST_TOKENS) if asked.most_tokens else None,
        seed=_seed(asked),
    )
    try:
        answer = service.answerer.answer(database, last.text, options, earlier=earlier, stop=stop)
    except UserError as error:
        raise ApiError(400, hide_path(str(error), database), "cannot_answer") from error
    if answer.outcome is not None:
        service.metrics.outcomes.labels(answer.outcome.category).inc()
    text = cut(answer.sql, asked.stops)
    reason: Reason = "stop" if answer.ended or text != answer.sql else "length"
    return Written(text, answer.prompt_tokens, answer.tokens, reason)


def _seed(asked: ChatRequest) -> int:
    """Without a seed and with a temperature each answer is another."""
    if asked.seed is not None:
        return asked.seed
    return secrets.randbelow(2**31) if asked.temperature else 0


async def _events(
    service: Service, asked: ChatRequest, job: Job[Written], latest: Latest, identity: dict[str, Any]
) -> AsyncIterator[str]:
    """A completion as server-sent events, until it is written or the client leaves."""
    clock = asyncio.get_running_loop().time

    def event(choices: list[dict[str, Any]], **more: Any) -> str:
        return _event({**identity, "object": "chat.completion.chunk", "choices": choices, **more})

    def piece(delta: dict[str, str], reason: str | None = None) -> str:
        return event([{"index": 0, "delta": delta, "finish_reason": reason, "logprobs": None}])

    sent = ""
    try:
        yield piece({"role": "assistant", "content": ""})
        while not job.future.done():
            text = latest.text
            if text.startswith(sent) and len(text) > len(sent):
                yield piece({"content": text[len(sent) :]})
                sent = text
            try:
                async with asyncio.timeout(min(ALIVE_SECONDS, max(job.deadline - clock(), 0))):
                    await latest.change()
            except TimeoutError:
                if clock() >= job.deadline:
                    raise service.desk.late() from None
                yield ": still at it\n\n"
        written = service.desk.result(job)
        if written.text.startswith(sent) and len(written.text) > len(sent):
            yield piece({"content": written.text[len(sent) :]})
        yield piece({}, written.finish_reason)
        if asked.stream_options and asked.stream_options.include_usage:
            yield event([], usage=written.usage.model_dump())
        yield "data: [DONE]\n\n"
    except ApiError as error:
        yield _event(error.body)
    finally:
        job.stop.set()


def _event(content: dict[str, Any]) -> str:
    return f"data: {json.dumps(content, ensure_ascii=False)}\n\n"


def cut(text: str, stops: list[str]) -> str:
    """The text before the first of the stops in it."""
    return text[: min((place for stop in stops if (place := text.find(stop)) >= 0), default=len(text))]


def shown(text: str, stops: list[str]) -> str:
    """What of an unfinished text will stay: no half a character at its end, nothing that may become a stop."""
    text = cut(text, stops).rstrip("\ufffd")
    held = (size for stop in stops for size in range(1, len(stop)) if text.endswith(stop[:size]))
    return text[: len(text) - max(held, default=0)]
