"""Who may call a service: everybody, or the holders of an ID token made out to it."""

from __future__ import annotations

from collections.abc import Callable

from pymacaron_ci.simulator.cloud_run.records import Service
from pymacaron_ci.simulator.google.projects import Projects
from pymacaron_ci.simulator.google.tokens import TokenDesk, TokenInvalid
from pymacaron_ci.simulator.web import Request, Response

ROLE = "roles/run.invoker"
PAGE = (
    '<html><head>\n<meta http-equiv="content-type" content="text/html;charset=utf-8">\n'
    "<title>{status} {title}</title>\n</head>\n<body text=#000000 bgcolor=#ffffff>\n<h1>Error: "
    "{title}</h1>\n"
    "<h2>{text}</h2>\n<h2></h2>\n</body></html>\n"
)
FORBIDDEN = "Your client does not have permission to get URL <code>{path}</code> from this server."


class Invokers:
    """Judges requests to services by policy and token."""

    def __init__(self, projects: Projects, tokens: TokenDesk) -> None:
        self._projects, self._tokens = projects, tokens

    def gate(self, service: Service) -> Callable[[Request], Response | None]:
        """None for a request that may pass, else the refusal."""
        members = {
            member
            for binding in service.policy.get("bindings", ())
            if binding["role"] == ROLE
            for member in binding["members"]
        }
        if service.spec.get("invokerIamDisabled") or "allUsers" in members:
            return lambda _: None
        audiences = {service.url, *service.spec.get("customAudiences", ())}
        allowed = self._projects.get(service.project).invokers

        def admit(request: Request) -> Response | None:
            # with both, only the first is looked at
            token = request.bearer_of("X-Serverless-Authorization") or request.bearer
            if token is None:
                return _page(403, "Forbidden", FORBIDDEN.format(path=request.raw_path))
            try:
                claims = self._tokens.read(token)
                if claims.get("aud") not in audiences:
                    raise TokenInvalid("the audience is another")
            except TokenInvalid:
                text = FORBIDDEN.format(path=request.raw_path)
                challenge = 'Bearer error="invalid_token"'
                return _page(401, "Unauthorized", text, ("WWW-Authenticate", challenge))
            email = str(claims.get("email", ""))
            known = {f"serviceAccount:{email}", f"user:{email}", "allAuthenticatedUsers"} & members
            if known or allowed is None or email in allowed:
                return None
            return _page(403, "Forbidden", FORBIDDEN.format(path=request.raw_path))

        return admit


def _page(status: int, title: str, text: str, *headers: tuple[str, str]) -> Response:
    body = PAGE.format(status=status, title=title, text=text).encode()
    return Response(status, body, (("Content-Type", "text/html; charset=UTF-8"), *headers))
