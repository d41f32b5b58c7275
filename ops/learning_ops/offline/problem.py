"""What goes wrong with a request, in the form in which the OpenAI API says it."""

from collections.abc import Mapping

from starlette.responses import JSONResponse


class Problem(Exception):
    """A request is refused: HTTP status, message, type, the parameter at fault and a code."""

    def __init__(
        self,
        status: int,
        message: str,
        *,
        kind: str = "invalid_request_error",
        param: str | None = None,
        code: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.body = {"error": {"message": message, "type": kind, "param": param, "code": code}}
        self.headers = dict(headers or {})

    def response(self) -> JSONResponse:
        """The answer that carries this problem."""
        return JSONResponse(self.body, status_code=self.status, headers=self.headers)


def missing(param: str) -> Problem:
    """A required parameter is not there."""
    return Problem(400, f"Missing required parameter: '{param}'.", param=param, code="missing_required_parameter")


def wrong_type(param: str, wanted: str, value: object) -> Problem:
    """A parameter has another type than the API takes."""
    names = {
        dict: "an object",
        list: "an array",
        str: "a string",
        bool: "a boolean",
        int: "an integer",
        float: "a decimal number",
    }
    got = names.get(type(value), "null")
    return Problem(
        400, f"Invalid type for '{param}': expected {wanted}, but got {got} instead.", param=param, code="invalid_type"
    )


def unsupported(param: str, message: str) -> Problem:
    """A parameter's value is one that this server does not serve."""
    return Problem(400, message, param=param, code="unsupported_value")
