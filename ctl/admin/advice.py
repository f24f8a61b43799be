"""What a failure means, and what to do about it."""

import json
import ssl
from collections.abc import Iterator

import httpx

from ctl.admin.target import Target

_ADVICE = {
    400: "mend what it names",
    404: "the `list` of the noun shows what is there, as far as the user may see it",
    409: "look with `show` or `list`; if another change came in between, repeat the command",
    412: "mend what it names; if somebody else has just changed the same, repeat the command",
    507: "make room on the disk of the server",
}


def refusal(answer: httpx.Response, target: Target) -> str:
    """What the answer of the server says, and what to do.

    Args:
        answer: one that is no success.
        target: who was asked.
    """
    code, message = _error(answer)
    said = " ".join(
        filter(None, (message or answer.reason_phrase, f"({answer.status_code}{f' {code}' if code else ''})"))
    )
    return f"{said}; {_advice(answer, target, code)}"


def unreachable(error: httpx.HTTPError, target: Target) -> str:
    """Why there was no answer, and what to do."""
    causes = list(_causes(error))
    if any(isinstance(cause, ssl.SSLCertVerificationError) for cause in causes):
        reason = next(cause.verify_message for cause in causes if isinstance(cause, ssl.SSLCertVerificationError))
        return (
            f"{target.name} cannot prove who it is: {reason}. If its certificate is of an authority of your own, "
            "name that with `roadstead admin login … --ca-file FILE`"
        )
    if any(isinstance(cause, ssl.SSLError) for cause in causes):
        return f"{target.name} does not speak TLS as it should ({error}); is it http instead of https?"
    if isinstance(error, httpx.ConnectError | httpx.ConnectTimeout):
        return f"cannot connect to {target.name}: {error}; does it run, and is the address right?"
    if isinstance(error, httpx.TimeoutException):
        return f"{target.name} does not answer in time; it may have done what was asked: look before you repeat it"
    if isinstance(error, httpx.ProxyError):
        return f"the proxy refuses: {error}; look at HTTPS_PROXY, HTTP_PROXY and NO_PROXY"
    return (
        f"the connection to {target.name} broke ({type(error).__name__}: {error}); is it https instead of http? "
        "It may have done what was asked: look before you repeat it"
    )


def _advice(answer: httpx.Response, target: Target, code: str) -> str:
    status = answer.status_code
    if status == 401:
        return f"{target.name} does not accept the password of {target.user}; {target.wrong_password}"
    if status == 403:
        return f"{target.user} may not do this at {target.name}, or nobody may at present"
    if answer.is_redirect:
        return f"{target.name} leads to {answer.headers.get('Location', 'elsewhere')}; log in with that URL"
    if status in {429, 503}:
        seconds = answer.headers.get("Retry-After", "1")
        why = (
            "there are too many requests" if status == 429 else f"something is away, and {target.url}/readyz says what"
        )
        return f"{why}; wait {seconds} s, and repeat the command"
    if not code:
        return f"{target.name} answers, but not as Harbor's API does; is the URL that of the gateway?"
    request_id = answer.headers.get("X-Request-Id", "")
    logs = f"the logs of the server have more{f' under the request id {request_id}' if request_id else ''}"
    return _ADVICE.get(status, logs)


def _error(answer: httpx.Response) -> tuple[str, str]:
    """The code and the message of Harbor's form of errors; empty in another form."""
    try:
        (error, *_) = json.loads(answer.content)["errors"]
        return str(error["code"]), str(error["message"])
    except (ValueError, TypeError, KeyError):
        return "", ""


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__
