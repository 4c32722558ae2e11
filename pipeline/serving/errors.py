"""What a client is told when something is wrong: always `{"error": {"message", "type", "code"}}`, as OpenAI's API has it."""

from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

TYPES = {401: "authentication_error", 403: "permission_error", 404: "not_found_error", 429: "rate_limit_error"}
CODES = {404: "not_found", 405: "method_not_allowed"}


class ApiError(Exception):
    """Ends a request with a status, a line for whoever reads it, and a code for programs."""

    def __init__(self, status: int, message: str, code: str | None = None, headers: dict[str, str] | None = None):
        super().__init__(message)
        self.status, self.message, self.code, self.headers = status, message, code, headers or {}

    @property
    def body(self) -> dict[str, Any]:
        kind = TYPES.get(self.status, "server_error" if self.status >= 500 else "invalid_request_error")
        return {"error": {"message": self.message, "type": kind, "code": self.code}}

    def response(self) -> JSONResponse:
        return JSONResponse(self.body, self.status, self.headers)


def add_error_handlers(app: FastAPI) -> None:
    """Every error of the app and its framework takes the one shape."""

    def own(_: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, ApiError)
        return error.response()

    def invalid(_: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, RequestValidationError)
        first = error.errors()[0]
        if first["type"] == "json_invalid":
            return ApiError(400, "the body is not valid JSON", "invalid_json").response()
        place = ".".join(str(part) for part in first["loc"][1:]) or "the body"
        return ApiError(422, f"{place}: {first['msg']}"[:500], "invalid_value").response()

    def framework(_: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, HTTPException)
        code = CODES.get(error.status_code)
        return ApiError(error.status_code, str(error.detail), code, dict(error.headers or {})).response()

    def unforeseen(_: Request, _error: Exception) -> JSONResponse:
        return ApiError(500, "the server failed; its log says why", "internal_error").response()

    app.add_exception_handler(ApiError, own)
    app.add_exception_handler(RequestValidationError, invalid)
    app.add_exception_handler(HTTPException, framework)
    app.add_exception_handler(Exception, unforeseen)
