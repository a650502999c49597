"""Does live_url lead to the service? Its domain mapping or load balancer is the user's own."""

from __future__ import annotations


def leads_to(url: str, release: str, how: str) -> str:
    """Empty if the URL tells this release, else a note that says what it does instead, and `how` to
    mend that."""
    import requests

    try:
        with requests.get(f"{url.rstrip('/')}/version", timeout=10) as answer:
            status = answer.status_code
            told = answer.json() if status == 200 else {}
    except requests.JSONDecodeError:
        told = {}
    except requests.RequestException as error:
        return f"live_url {url} can't be reached ({type(error).__name__}): {how}"
    found = told.get("release") if isinstance(told, dict) else None
    if found == release:
        return ""
    if status in (401, 403):
        return f"live_url {url} answers {status}: whether it leads to this release is not known"
    what = f"tells the release {found}" if found else f"answers {status} without a release"
    return f"live_url {url} does not lead to this release, /version there {what}: {how}"
