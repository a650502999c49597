"""Where names lead in a simulated Elastic Beanstalk: a loopback port each, late as DNS is."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence

from pymacaron_ci.simulator.beanstalk.balancer import Balancer
from pymacaron_ci.simulator.beanstalk.state import Environment, Store, Timings


class Routes:
    """`urls` tells an environment's instances. Ports are kept in the state, so they outlive us."""

    def __init__(
        self, store: Store, timings: Timings, urls: Callable[[str], Sequence[str]]
    ) -> None:
        self._store, self._timings, self._urls = store, timings, urls
        self._balancers: dict[str, Balancer] = {}
        with store.lock:
            for cname in store.state.ports:
                self._name(cname)

    def open(self, environment: Environment) -> None:
        """Gives an environment its own address and its name. The caller holds the lock."""
        number = environment.id
        if number not in self._balancers:
            self._balancers[number] = Balancer(lambda: self._urls(number), port=environment.port)
            environment.port = self._balancers[number].port
        self._store.state.dns.setdefault(environment.cname, number)
        self._name(environment.cname)

    def _name(self, cname: str) -> None:
        if cname in self._balancers:
            return
        state = self._store.state
        balancer = Balancer(
            lambda: self._urls(state.dns.get(cname, "")), port=state.ports.get(cname, 0)
        )
        self._balancers[cname] = balancer
        state.ports[cname] = balancer.port

    def publish_later(self, *environment_ids: str) -> None:
        """DNS hears of names that were swapped."""
        timer = threading.Timer(self._timings.dns, self._publish, environment_ids)
        timer.daemon = True
        timer.start()

    def _publish(self, *environment_ids: str) -> None:
        with self._store.lock:
            for number in environment_ids:
                environment = self._store.state.environments[number]
                if environment.status != "Terminated":
                    self._store.state.dns[environment.cname] = number
            self._store.save()

    def forget(self, environment: Environment) -> None:
        """An environment has ended: its names lead nowhere. The caller holds the lock."""
        dns = self._store.state.dns
        for cname in [name for name, number in dns.items() if number == environment.id]:
            del dns[cname]
        balancer = self._balancers.pop(environment.id, None)
        if balancer:
            threading.Thread(target=balancer.stop, daemon=True).start()

    def close(self) -> None:
        for balancer in list(self._balancers.values()):
            balancer.stop()
