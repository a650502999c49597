"""Which credentials talk to Google: the run's own identity, or what the environment points to.

Never asks a metadata server: off Google's machines that address belongs to somebody else.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from pymacaron_ci.errors import DeployError, NoCredentials
from pymacaron_ci.oidc import Login, TokenSource

SCOPE = "https://www.googleapis.com/auth/cloud-platform"
OVERRIDE = "CLOUDSDK_API_ENDPOINT_OVERRIDES_"  # gcloud's own names for other endpoints
FILE = "GOOGLE_APPLICATION_CREDENTIALS"
WRITTEN_BY_GCLOUD = "application_default_credentials.json"


def credentials(
    environ: Mapping[str, str],
    login: Login | None,
    tokens: Callable[[], TokenSource] | None,
) -> tuple[Any, str | None]:
    """Credentials, and the project that goes with them where one is known."""
    project = environ.get("GOOGLE_CLOUD_PROJECT") or environ.get("CLOUDSDK_CORE_PROJECT")
    if login and login.provider and tokens:
        from pymacaron_ci.oidc.google import IAM, STS, FederatedCredentials

        found = FederatedCredentials(
            login.provider,
            tokens(),
            service_account=login.gcp_service_account,
            sts=environ.get(f"{OVERRIDE}STS") or STS,
            iam=environ.get(f"{OVERRIDE}IAMCREDENTIALS") or IAM,
        )
        return found, project or project_of(login.gcp_service_account)
    return ambient(environ, project)


def ambient(environ: Mapping[str, str], project: str | None) -> tuple[Any, str | None]:
    """The file that GOOGLE_APPLICATION_CREDENTIALS names, else the one `gcloud auth` wrote."""
    import google.auth
    import google.auth.exceptions

    named = environ.get(FILE) or environ.get("CLOUDSDK_AUTH_CREDENTIAL_FILE_OVERRIDE")
    path = (
        Path(named) if named else _gcloud_folder(environ) / "application_default_credentials.json"
    )
    if not path.is_file():
        if named:
            raise DeployError(f"{FILE} names {path}, which is not a file")
        raise NoCredentials(
            "there are no credentials for Google Cloud",
            hint="in a workflow: gcp-workload-identity-provider (docs/oidc.md); on a laptop: "
            f"gcloud auth application-default login, or {FILE}",
        )
    try:
        found, own = google.auth.load_credentials_from_file(  # type: ignore[no-untyped-call]
            str(path), scopes=[SCOPE]
        )
    except google.auth.exceptions.GoogleAuthError as error:
        raise DeployError(
            f"the credentials in {path} can't be used: {error.args[0] if error.args else error}",
            hint="make the file anew",
        ) from error
    return found, project or own


def project_of(service_account: str | None) -> str | None:
    """`deployer@my-project.iam.gserviceaccount.com` belongs to my-project."""
    _, _, domain = (service_account or "").partition("@")
    name, found, _ = domain.partition(".iam.gserviceaccount.com")
    return name if found else None


def _gcloud_folder(environ: Mapping[str, str]) -> Path:
    own = environ.get("CLOUDSDK_CONFIG")
    return (
        Path(own) if own else Path(environ.get("HOME") or "~").expanduser() / ".config" / "gcloud"
    )
