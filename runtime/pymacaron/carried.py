"""Environment variables that a platform could not carry as they are, put right at the start.

Elastic Beanstalk hands properties to a container line by line and promises few characters; the
deploying tool encodes values with others, and names them in PYM_ENCODED.
"""

from __future__ import annotations

import base64
import os
from collections.abc import MutableMapping

NAMES = "PYM_ENCODED"


def unpack(environ: MutableMapping[str, str]) -> None:
    """Decodes the variables that PYM_ENCODED names. A second call finds nothing to do."""
    for name in environ.pop(NAMES, "").split():
        if name in environ:
            value = base64.b64decode(environ[name], validate=True)
            environ[name] = value.decode("utf-8", "surrogateescape")


unpack(os.environ)
