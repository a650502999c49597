"""GitHub's identity token: what proves to a cloud which repository and branch a run is for."""

from __future__ import annotations

import http.client
import json
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Mapping

from pymacaron_ci.errors import DeployError
from pymacaron_ci.github.context import Context
from pymacaron_ci.waiting import Clock, Pending, Ready, SystemClock, wait_for

URL = "ACTIONS_ID_TOKEN_REQUEST_URL"
BEARER = "ACTIONS_ID_TOKEN_REQUEST_TOKEN"
_AGAIN = {408, 429, 500, 502, 503, 504}
_PERMISSION = """add this to the job (for a reusable workflow, to the calling job too):
    permissions:
      contents: read
      id-token: write"""


class IdTokens:
    """Asks the runner for a token each time it is called: one lives for five minutes only.

    `mask` gets every token before anyone else does.
    """

    def __init__(
        self,
        url: str,
        bearer: str,
        *,
        mask: Callable[[str], None],
        clock: Clock | None = None,
        timeout: float = 60,
    ) -> None:
        self._url = url
        self._bearer = bearer
        self.mask = mask
        self._clock = clock or SystemClock()
        self._timeout = timeout

    def __call__(self, audience: str) -> str:
        token = wait_for(
            "asking GitHub for an identity token",
            lambda: self._ask(audience),
            timeout=self._timeout,
            clock=self._clock,
            first=0.5,
            hint="see https://www.githubstatus.com, then run the job again",
        )
        self.mask(token)
        return token

    def _ask(self, audience: str) -> Ready[str] | Pending:
        request = urllib.request.Request(  # noqa: S310  (the runner's own URL, checked in `source`)
            with_audience(self._url, audience),
            headers={
                "Authorization": f"Bearer {self._bearer}",
                "Accept": "application/json; api-version=2.0",
                "User-Agent": "pymacaron-ci",
            },
        )
        try:
            with urllib.request.urlopen(request, timeout=10) as answer:  # noqa: S310
                token = json.load(answer).get("value")
        except urllib.error.HTTPError as error:
            error.close()
            if error.code in _AGAIN:
                return Pending(f"GitHub answers {error.code}")
            raise DeployError(
                f"GitHub refused an identity token: it answered {error.code}",
                hint=_PERMISSION if error.code in (401, 403) else None,
            ) from error
        except (OSError, http.client.HTTPException, ValueError, AttributeError) as error:
            reason = getattr(error, "reason", error)
            return Pending(f"GitHub gives no usable answer: {type(reason).__name__}")
        if not isinstance(token, str) or not token:
            raise DeployError("GitHub's answer holds no identity token")
        return Ready(token)


def with_audience(url: str, audience: str) -> str:
    """The runner's URL has a query already; the audience becomes one more item of it."""
    parts = urllib.parse.urlsplit(url)
    query = urllib.parse.parse_qsl(parts.query, keep_blank_values=True)
    query = [(key, value) for key, value in query if key != "audience"]
    return urllib.parse.urlunsplit(
        parts._replace(query=urllib.parse.urlencode([*query, ("audience", audience)]))
    )


def source(
    environ: Mapping[str, str],
    context: Context | None,
    *,
    mask: Callable[[str], None],
    clock: Clock | None = None,
) -> IdTokens:
    """The run's tokens. Raises DeployError saying why there are none, and the cure."""
    url, bearer = environ.get(URL), environ.get(BEARER)
    if url and bearer:
        if urllib.parse.urlsplit(url).scheme not in ("https", "http"):
            raise DeployError(f"{URL} is not a web address")
        return IdTokens(url, bearer, mask=mask, clock=clock)
    if context is None:
        raise DeployError(
            "there is no identity token outside GitHub Actions",
            hint="use your own credentials here: aws sso login, or "
            "gcloud auth application-default login",
        )
    if context.stranger:
        raise DeployError(
            f"{context.stranger}: GitHub gives it no identity token",
            hint="deploy when it is merged; until then use command: validate",
        )
    raise DeployError("this job may not ask GitHub for an identity token", hint=_PERMISSION)
