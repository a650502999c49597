"""A request → arguments → handler → answer. Everything that can be known at the start is compiled
then."""

from pymacaron.endpoint.bind import Endpoint, Handling, Rules, bind
from pymacaron.endpoint.call import Answer, Call

__all__ = ["Answer", "Call", "Endpoint", "Handling", "Rules", "bind"]
