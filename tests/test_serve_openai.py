"""OpenAI's API, asked with OpenAI's own client."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import openai
import pytest
from echo import Echo, running, until

from pipeline.answerer import Answerer
from pipeline.bundle import write_bundle
from pipeline.config import load_config
from pipeline.serving.openai import cut, shown

pytest_plugins = ["serving"]
HELLO: Any = [{"role": "user", "content": "hello, world"}]


@pytest.fixture
def echo(make_service: Any) -> Iterator[tuple[openai.OpenAI, Echo]]:
    """A client of a running server whose model says again what it is told."""
    service = make_service(key="secret")
    with (
        running(service) as (host, port),
        openai.OpenAI(base_url=f"http://{host}:{port}/v1", api_key="secret", max_retries=0) as client,
    ):
        yield client, service.answerer


def test_models_are_the_bare_one_and_one_a_database(echo: Any) -> None:
    client, _ = echo
    assert [model.id for model in client.models.list()] == ["tiny", "tiny/shop"]


def test_a_completion_tells_what_it_took(echo: Any) -> None:
    client, _ = echo
    whole = client.chat.completions.create(model="tiny", messages=HELLO)
    assert whole.choices[0].message.content == "hello, world"
    assert whole.choices[0].finish_reason == "stop"
    assert (whole.usage.prompt_tokens, whole.usage.completion_tokens, whole.usage.total_tokens) == (2, 12, 14)
    short = client.chat.completions.create(model="tiny", messages=HELLO, max_tokens=5)
    assert (short.choices[0].message.content, short.choices[0].finish_reason) == ("hello", "length")
    parts: Any = [{"role": "user", "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]}]
    assert client.chat.completions.create(model="tiny", messages=parts).choices[0].message.content == "ab"


def test_a_stream_is_the_same_text_in_pieces(echo: Any) -> None:
    client, _ = echo
    asked = {"model": "tiny", "messages": HELLO, "stream": True, "stream_options": {"include_usage": True}}
    chunks = list(client.chat.completions.create(**asked))
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks[:-1]) == "hello, world"
    assert chunks[0].choices[0].delta.role == "assistant"
    assert chunks[-2].choices[0].finish_reason == "stop"
    assert chunks[-1].usage.completion_tokens == 12
    assert len({chunk.id for chunk in chunks}) == 1


def test_a_stop_ends_the_text_before_it(echo: Any) -> None:
    client, _ = echo
    for stop in (",", [", w", "never"], ["world", "lo"]):
        whole = client.chat.completions.create(model="tiny", messages=HELLO, stop=stop)
        pieces = list(client.chat.completions.create(model="tiny", messages=HELLO, stop=stop, stream=True))
        assert whole.choices[0].finish_reason == "stop"
        assert whole.choices[0].message.content == "hel" if "lo" in stop else "hello"
        assert "".join(piece.choices[0].delta.content or "" for piece in pieces) == whole.choices[0].message.content


def test_a_database_is_asked_and_sql_comes_back(echo: Any) -> None:
    client, _ = echo
    asked: Any = [
        {"role": "system", "content": "be brief"},
        {"role": "user", "content": "earlier"},
        {"role": "assistant", "content": "SELECT 1"},
        {"role": "user", "content": "SELECT name FROM item"},
    ]
    whole = client.chat.completions.create(model="tiny/shop", messages=asked)
    assert whole.choices[0].message.content == "SELECT name FROM item"
    pieces = list(client.chat.completions.create(model="tiny/shop", messages=asked, stream=True))
    assert "".join(piece.choices[0].delta.content or "" for piece in pieces) == "SELECT name FROM item"


@pytest.mark.parametrize("stream", [False, True])
def test_errors_are_those_of_the_client(echo: Any, stream: bool) -> None:
    client, _ = echo

    def ask(**changed: Any) -> Any:
        return client.chat.completions.create(**{"model": "tiny", "messages": HELLO, "stream": stream, **changed})

    with pytest.raises(openai.NotFoundError) as absent:
        ask(model="gpt-4")
    assert absent.value.code == "model_not_found"
    with pytest.raises(openai.NotFoundError):
        ask(model="tiny/../shop")
    with pytest.raises(openai.UnprocessableEntityError, match="temperature"):
        ask(temperature=9)
    with pytest.raises(openai.UnprocessableEntityError, match="messages"):
        ask(messages=[])
    with pytest.raises(openai.BadRequestError, match="last message"):
        ask(model="tiny/shop", messages=[{"role": "assistant", "content": "x"}])
    with pytest.raises(openai.AuthenticationError):
        client.with_options(api_key="wrong").models.list()


def test_who_leaves_a_stream_is_not_written_for(make_service: Any) -> None:
    service = make_service()
    service.answerer.go.clear()
    asked = {"model": "tiny", "messages": HELLO, "stream": True}
    with running(service) as (host, port):
        url = f"http://{host}:{port}/v1/chat/completions"
        with pytest.raises(httpx.ReadTimeout):
            httpx.post(url, json=asked, timeout=httpx.Timeout(5, read=0.2))
        until(lambda: service.answerer.stopped == 1 and service.desk.waiting == 0)


def test_a_stream_over_the_time_limit_ends_with_an_error(make_service: Any) -> None:
    service = make_service(seconds=0.5)
    with (
        running(service) as (host, port),
        openai.OpenAI(base_url=f"http://{host}:{port}/v1", api_key="-", max_retries=0) as client,
    ):
        service.answerer.pause_at = 5
        pieces = client.chat.completions.create(model="tiny", messages=HELLO, stream=True)
        assert next(pieces).choices[0].delta.role == "assistant"
        with pytest.raises(openai.APIError, match="not answered within"):
            list(pieces)
        until(lambda: service.desk.waiting == 0)


def test_what_is_shown_of_an_unfinished_text_stays() -> None:
    assert shown("SELECT 1;", [";"]) == "SELECT 1"
    assert shown("a EN", ["END"]) == "a "
    assert shown("a \ufffd", []) == "a "
    assert cut("one two", ["two", "one"]) == ""


def test_a_real_model_is_asked(
    make_service: Any, tiny_model: Path, recipe: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The tiny model writes nonsense, but the same nonsense whichever way it is asked."""
    config = load_config(str(recipe), [])
    exported = Path("exported")
    exported.mkdir()
    for path in tiny_model.iterdir():
        (exported / path.name).symlink_to(path)
    write_bundle(config, exported)
    with Answerer(exported) as answerer:
        service = make_service(answerer=answerer)
        with (
            running(service) as (host, port),
            openai.OpenAI(base_url=f"http://{host}:{port}/v1", api_key="-", max_retries=0) as client,
        ):
            whole = client.chat.completions.create(model=answerer.name, messages=HELLO, max_tokens=6)
            stream = client.chat.completions.create(model=answerer.name, messages=HELLO, max_tokens=6, stream=True)
            text = "".join(piece.choices[0].delta.content or "" for piece in stream)
            assert whole.choices[0].message.content == text != ""
            assert whole.usage.prompt_tokens > 5
            assert whole.usage.completion_tokens <= 6
            drawn = [
                client.chat.completions.create(
                    model=answerer.name, messages=HELLO, max_tokens=6, temperature=1.5, seed=seed
                ).choices[0]
                for seed in (1, 1, 2)
            ]
            assert drawn[0].message.content == drawn[1].message.content != drawn[2].message.content
            got = httpx.post(f"http://{host}:{port}/v1/sql", json={"database": "shop", "question": "How many?"}).json()
            assert (got["error"] is None) == bool(got["columns"])
            about = client.chat.completions.create(model=f"{answerer.name}/shop", messages=HELLO)
            assert about.usage.prompt_tokens > whole.usage.prompt_tokens
            with pytest.raises(openai.BadRequestError, match="window"):
                client.chat.completions.create(
                    model=answerer.name, messages=[{"role": "user", "content": "word " * 5000}]
                )
