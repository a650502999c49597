"""The target aws-beanstalk: a new environment proves itself, then it gets the live name."""

from pymacaron_ci.targets.beanstalk.patience import Patience
from pymacaron_ci.targets.beanstalk.target import Beanstalk

__all__ = ["Beanstalk", "Patience"]
