"""The server's own routes: what they answer, whom they refuse, and what their description promises."""

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest
import schemathesis
from echo import running, until
from hypothesis import HealthCheck, Phase, given, settings
from starlette.testclient import TestClient

from data.errors import UsageError, UserError
from pipeline.serve import Serving, bind, name_databases, read_key, serve
from pipeline.serving.app import make_app
from pipeline.serving.limits import MOST_CLIENTS, Buckets
from pipeline.serving.service import Service

pytest_plugins = ["serving"]
ALL = "SELECT * FROM item"


def client(service: Service, **options: Any) -> TestClient:
    return TestClient(make_app(service, **options), base_url="http://127.0.0.1:8000", raise_server_exceptions=False)


def test_a_question_is_answered_with_sql_and_rows(make_service: Any) -> None:
    got = client(make_service()).post("/v1/sql", json={"database": "shop", "question": ALL, "other": 1})
    assert got.status_code == 200
    assert got.json() == {
        "database": "shop",
        "question": ALL,
        "sql": ALL,
        "columns": ["id", "name", "maker", "seen"],
        "rows": [[1, "pen", None, "00ff"], [2, "cup", None, "inf"], [3, "hat", None, "ja"]],
        "row_count": 3,
        "truncated": False,
        "tables": ["item"],
        "warnings": ["a warning"],
        "error": None,
        "ms": 1.5,
    }


def test_a_query_that_fails_is_an_answer_that_tells_no_path(make_service: Any, item_database: Path) -> None:
    browser = client(make_service())
    got = browser.post("/v1/run", json={"database": "shop", "sql": "SELECT absent FROM item"})
    assert (got.status_code, got.json()["error"]) == (
        200,
        {"category": "no_such_column", "message": "no such column: absent"},
    )
    item_database.unlink()
    error = browser.post("/v1/run", json={"database": "shop", "sql": ALL}).json()["error"]
    assert error["category"] == "error"
    assert str(item_database.parent) not in error["message"]


def test_rows_beyond_the_limit_are_counted_and_left_out(make_service: Any) -> None:
    got = client(make_service(max_rows=2)).post("/v1/run", json={"database": "shop", "sql": ALL}).json()
    assert (len(got["rows"]), got["row_count"], got["truncated"]) == (2, 3, True)
    wide = "SELECT printf('%.*c', 900000, 'x') FROM item a, item b"
    got = client(make_service()).post("/v1/run", json={"database": "shop", "sql": wide}).json()
    assert (len(got["rows"]), got["row_count"], got["truncated"]) == (4, 9, True)


def test_databases_are_described(make_service: Any) -> None:
    (shop,) = client(make_service()).get("/v1/databases").json()["databases"]
    item = shop["tables"][1]
    assert (shop["name"], shop["dialect"], item["name"]) == ("shop", "sqlite", "item")
    assert item["columns"][:2] == [
        {"name": "id", "type": "INTEGER", "primary_key": True},
        {"name": "name", "type": "TEXT", "primary_key": False},
    ]
    assert item["foreign_keys"] == [{"column": "maker", "table": "maker", "references": "id"}]


def test_feedback_is_kept(make_service: Any) -> None:
    service = make_service()
    said = {"database": "shop", "question": "which?", "sql": ALL, "verdict": "fixed"}
    assert client(service).post("/v1/feedback", json=said).json() == {"kept": True}
    (line,) = service.corrections.read_text(encoding="utf-8").splitlines()
    assert {"question": "which?", "query": ALL, "db_id": "shop", "verdict": "fixed"}.items() <= json.loads(line).items()


def test_feedback_that_cannot_be_written_says_so(make_service: Any, item_database: Path) -> None:
    said = {"database": "shop", "question": "which?", "sql": ALL, "verdict": "good"}
    got = client(make_service(corrections=item_database / "corrections.jsonl")).post("/v1/feedback", json=said)
    assert got.status_code == 500
    assert got.json()["error"]["code"] == "not_kept"
    assert str(item_database) not in got.text


def test_health_says_that_the_model_has_failed(make_service: Any) -> None:
    service = make_service()
    service.answerer.failed = True
    got = client(service).get("/health")
    assert (got.status_code, got.json()["status"]) == (503, "failed")


def test_health_and_metrics_tell_what_happened(make_service: Any) -> None:
    browser = client(make_service())
    browser.post("/v1/sql", json={"database": "shop", "question": ALL})
    browser.post("/v1/run", json={"database": "shop", "sql": "SELEC"})
    browser.get("/absent/" + "x" * 50)
    assert browser.get("/health").json() == {
        "status": "ok",
        "model": "tiny",
        "databases": ["shop"],
        "waiting": 0,
        "key_required": False,
    }
    lines = browser.get("/metrics").text.splitlines()
    for line in (
        'loraql_requests_total{route="/v1/sql",status="200"} 1.0',
        'loraql_requests_total{route="other",status="404"} 1.0',
        'loraql_sql_total{category="syntax"} 1.0',
        "loraql_tokens_total 6.0",
        "loraql_waiting 0.0",
        'loraql_request_seconds_count{route="/v1/run"} 1.0',
    ):
        assert line in lines


@pytest.mark.parametrize(
    ("method", "path", "content", "status", "code"),
    [
        ("POST", "/v1/sql", b"{", 400, "invalid_json"),
        ("POST", "/v1/sql", b"[" * 200_000, 400, None),
        ("POST", "/v1/sql", b'{"database": "shop"}', 422, "invalid_value"),
        ("POST", "/v1/sql", b'{"database": "shop", "question": " "}', 422, "invalid_value"),
        ("POST", "/v1/sql", b'{"database": "shop", "question": "\\ud800"}', 422, "invalid_value"),
        ("POST", "/v1/sql", b'{"database": "shop", "question": "x", "vote": 99}', 422, "invalid_value"),
        ("POST", "/v1/sql", b'{"database": "../../etc/passwd", "question": "x"}', 404, "database_not_found"),
        ("POST", "/v1/run", b'{"database": "/etc/passwd\\u0000", "sql": "x"}', 404, "database_not_found"),
        ("POST", "/v1/run", b'{"database": "shop", "sql": 1e999}', 422, "invalid_value"),
        ("POST", "/v1/feedback", b'{"database": "shop", "question": "x", "sql": "x", "verdict": "bad"}', 422, None),
        ("POST", "/v1/run", b'{"database": "shop", "sql": "' + b"x" * 1_000_000 + b'"}', 413, "body_too_large"),
        ("GET", "/v1/sql", None, 405, "method_not_allowed"),
        ("GET", "/absent", None, 404, "not_found"),
        ("GET", "/docs", None, 404, "not_found"),
        ("GET", "/page/../../serve.py", None, 404, "not_found"),
    ],
)
def test_every_error_has_one_shape(
    make_service: Any, method: str, path: str, content: bytes | None, status: int, code: str | None
) -> None:
    headers = {"Content-Type": "application/json"} if content else {}
    got = client(make_service()).request(method, path, content=content, headers=headers)
    error = got.json()["error"]
    assert got.status_code == status
    assert set(error) == {"message", "type", "code"}
    assert len(error["message"]) < 600
    assert code is None or error["code"] == code


def test_a_form_is_no_request(make_service: Any) -> None:
    """What a page of another site could send without asking the browser's leave."""
    for kind in (
        "text/plain",
        "application/x-www-form-urlencoded",
        "multipart/form-data; boundary=x",
        "application/jsonx",
    ):
        got = client(make_service()).post(
            "/v1/run", content=b'{"database": "shop", "sql": "x"}', headers={"Content-Type": kind}
        )
        assert (got.status_code, got.json()["error"]["code"]) == (415, "not_json")


def test_a_fault_of_ours_is_an_error_without_details(make_service: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    service = make_service()
    monkeypatch.setattr(service.answerer, "answer", lambda *_, **__: 1 / 0)
    got = client(service).post("/v1/sql", json={"database": "shop", "question": "x"})
    assert got.status_code == 500
    assert got.json()["error"] == {
        "message": "the server failed; its log says why",
        "type": "server_error",
        "code": "internal_error",
    }
    assert got.headers["x-content-type-options"] == "nosniff"


def test_the_key_is_wanted_where_it_matters(make_service: Any) -> None:
    browser = client(make_service(key="right"))
    for path in ("/v1/models", "/v1/databases", "/metrics"):
        assert browser.get(path).status_code == 401
        assert browser.get(path, headers={"Authorization": "Bearer wrong"}).json()["error"]["code"] == "invalid_api_key"
        assert browser.get(path, headers={"Authorization": "Basic right"}).status_code == 401
        assert browser.get(path, headers={"Authorization": "Bearer right"}).status_code == 200
    assert browser.get("/health").json()["key_required"] is True
    assert browser.get("/").status_code != 401


def test_pages_of_other_sites_cannot_ask(make_service: Any) -> None:
    browser, asked = client(make_service()), {"database": "shop", "sql": ALL}
    for headers in (
        {"Origin": "https://evil.example"},
        {"Origin": "http://127.0.0.1:9000"},
        {"Origin": "null"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Host": "evil.example"},
        {"Host": "localhost.evil.example:8000"},
        {"Host": ""},
    ):
        assert browser.post("/v1/run", json=asked, headers=headers).status_code == 403, headers
    assert browser.get("/v1/databases", headers={"Host": "evil.example"}).status_code == 403
    for headers in (
        {"Origin": "http://127.0.0.1:8000", "Sec-Fetch-Site": "same-origin"},
        {"Host": "localhost:8000"},
        {"Host": "[::1]:8000"},
    ):
        assert browser.post("/v1/run", json=asked, headers=headers).status_code == 200, headers


def test_too_many_requests_of_a_client_have_to_wait(make_service: Any) -> None:
    browser = client(make_service(rate=3))
    assert [browser.get("/v1/models").status_code for _ in range(4)] == [200, 200, 200, 429]
    assert 1 <= int(browser.get("/v1/models").headers["retry-after"]) <= 21
    assert browser.get("/health").status_code == 200


def test_buckets_fill_again_and_forget() -> None:
    now = 0.0
    buckets = Buckets(2, clock=lambda: now)

    def allowed(address: str) -> bool:
        try:
            buckets.take(address)
        except Exception:  # noqa: BLE001
            return False
        return True

    assert [allowed("a"), allowed("a"), allowed("a"), allowed("b")] == [True, True, False, True]
    now = 30.0
    assert [allowed("a"), allowed("a")] == [True, False]
    assert [allowed("2001:db8::1"), allowed("2001:db8::2"), allowed("2001:db8::3")] == [True, True, False]
    for number in range(MOST_CLIENTS):
        allowed(f"10.0.{number // 256}.{number % 256}")
    assert allowed("a"), "forgotten, so that memory has a bound"


def test_the_queue_has_an_end_and_a_time_limit_stops_the_work(make_service: Any) -> None:
    service = make_service(most=2, seconds=0.4)
    service.answerer.go.clear()
    asked = {"database": "shop", "question": ALL}
    with running(service) as (host, port), ThreadPoolExecutor(2) as pool:
        url = f"http://{host}:{port}"
        first = [pool.submit(httpx.post, f"{url}/v1/sql", json=asked) for _ in range(2)]
        until(lambda: service.desk.waiting == 2)
        refused = httpx.post(f"{url}/v1/sql", json=asked)
        assert (refused.status_code, refused.json()["error"]["code"]) == (429, "queue_full")
        assert refused.headers["retry-after"] == "5"
        assert [one.result().status_code for one in first] == [504, 504]
        until(lambda: service.answerer.stopped == 2 and service.desk.waiting == 0)
        service.answerer.go.set()
        assert httpx.post(f"{url}/v1/sql", json=asked).status_code == 200


def test_who_leaves_is_not_waited_for(make_service: Any) -> None:
    service = make_service()
    service.answerer.go.clear()
    with running(service) as (host, port):
        with pytest.raises(httpx.ReadTimeout):
            httpx.post(
                f"http://{host}:{port}/v1/sql",
                json={"database": "shop", "question": ALL},
                timeout=httpx.Timeout(5, read=0.2),
            )
        until(lambda: service.answerer.stopped == 1 and service.desk.waiting == 0)


def test_the_page_is_served_under_a_strict_policy(make_service: Any, tmp_path: Path) -> None:
    folder = tmp_path / "page"
    assert client(make_service(), page=folder).get("/").json()["error"]["code"] == "not_found"
    folder.mkdir()
    (folder / "index.html").write_text("<title>loraql</title>", encoding="utf-8")
    (folder / "page.js").write_text("1", encoding="utf-8")
    browser = client(make_service(), page=folder)
    got = browser.get("/")
    assert "<title>" in got.text
    assert got.headers["content-type"].startswith("text/html")
    policy = got.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert "://" not in policy
    assert browser.get("/page/page.js").text == "1"
    assert browser.get("/page/absent.js").json()["error"]["code"] == "not_found"


def test_the_server_does_what_its_description_says(make_service: Any) -> None:
    app = make_app(make_service(seconds=5.0))
    schema = schemathesis.openapi.from_asgi("/openapi.json", app, headers={"Host": "127.0.0.1"})
    seen = set()
    for result in schema.get_all_operations():
        operation = result.ok()

        @given(case=operation.as_strategy())
        @settings(
            max_examples=5,
            deadline=None,
            derandomize=True,
            database=None,
            phases=[Phase.explicit, Phase.generate],
            suppress_health_check=list(HealthCheck),
        )
        def check(case: Any) -> None:
            if isinstance(case.body, dict) and len(str(case.body)) % 2:  # or nothing would be found
                case.body |= {key: "shop" for key in ("database",) if isinstance(case.body.get(key), str)}
                case.body |= {key: "tiny" for key in ("model",) if isinstance(case.body.get(key), str)}
            case.call_and_validate(headers={"Host": "127.0.0.1"})

        check()
        seen.add(operation.path)
    assert seen == {
        "/health",
        "/metrics",
        "/v1/chat/completions",
        "/v1/databases",
        "/v1/feedback",
        "/v1/models",
        "/v1/run",
        "/v1/sql",
    }


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (["../x!=a.sqlite"], "give it as NAME=PATH"),
        (["=a.sqlite"], "give it as NAME=PATH"),
        (["shop="], "give it as NAME=PATH"),
        (["my shop.sqlite"], "give it as NAME=PATH"),
        (["shop=a.sqlite", "b/shop.sqlite"], "two databases are called shop"),
        (["!!=postgresql://me:secret@host/shop"], "give it as NAME=PATH"),
    ],
)
def test_bad_names_of_databases_are_refused(given: list[str], message: str) -> None:
    with pytest.raises(UsageError, match=message) as caught:
        name_databases(given)
    assert "secret" not in str(caught.value)


def test_databases_are_named_by_hand_or_by_their_files() -> None:
    url = "postgresql://me@host/orders?sslmode=require"
    assert name_databases(["a=x=y.sqlite", "data/shop.sqlite", url, f"pg={url}"]) == {
        "a": "x=y.sqlite",
        "shop": "data/shop.sqlite",
        "orders": url,
        "pg": url,
    }


def test_keys_are_read_or_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LORAQL_API_KEY", raising=False)
    assert read_key(None) is None
    monkeypatch.setenv("LORAQL_API_KEY", "from-environment")
    assert read_key(None) == "from-environment"
    path = tmp_path / "key"
    path.write_text("from-file\n")
    assert read_key(path) == "from-file"
    for bad in ("", " \n", "two\nlines", "a b", "schlüssel"):
        path.write_text(bad, encoding="utf-8")
        with pytest.raises(UsageError, match="holds no API key"):
            read_key(path)


def test_other_machines_are_not_let_in_without_a_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LORAQL_API_KEY", raising=False)
    with pytest.raises(UsageError, match="--api-key-file or LORAQL_API_KEY, or say --no-key"):
        serve(tmp_path, Serving(host="0.0.0.0"))


def test_a_port_that_is_taken_is_one_line() -> None:
    with bind("127.0.0.1", 0) as first:
        port = first.getsockname()[1]
        with pytest.raises(UserError, match=f"port {port} of 127.0.0.1 is taken; choose another with --port"):
            bind("127.0.0.1", port)
    with pytest.raises(UserError, match="no address of this machine"):
        bind("no.such.host.invalid", 0)


def test_without_its_packages_serve_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipeline.serve.NEEDED", ("fastapi", "no_such_package"))
    with pytest.raises(UserError, match=r"serve needs no_such_package: run `pip install 'loraql\[serve\]'`"):
        serve(tmp_path, Serving())
