"""What a simulated Elastic Beanstalk does while nobody asks: launches, swaps, health, endings."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence

from pymacaron_ci.simulator.beanstalk.balancer import healthy
from pymacaron_ci.simulator.beanstalk.bundle import image_of
from pymacaron_ci.simulator.beanstalk.routes import Routes
from pymacaron_ci.simulator.beanstalk.state import (
    ACCOUNT,
    Environment,
    Operation,
    Store,
    Timings,
    Version,
    new_id,
)
from pymacaron_ci.simulator.instances import (
    ImageNotFound,
    Instance,
    InstanceError,
    Limits,
    LogLine,
    Runner,
    alive,
)

PROPERTIES = "aws:elasticbeanstalk:application:environment|"
SECRETS = "aws:elasticbeanstalk:application:environmentsecrets|"
PROCESS = "aws:elasticbeanstalk:environment:process:default"
MOST_INSTANCES = 3  # of one environment: they share one machine here


class Engine:
    """Runs environments. The lock of the store is never held while an instance starts or stops."""

    def __init__(
        self,
        store: Store,
        runner: Runner,
        timings: Timings,
        bundle: Callable[[Version], bytes | None],
        secret: Callable[[str], str],
    ) -> None:
        self._store, self._runner, self._timings, self._bundle = store, runner, timings, bundle
        self._secret = secret
        self._running: dict[str, dict[str, Instance]] = {}
        self.routes = Routes(store, timings, self._urls)
        self._closed = threading.Event()
        self._paused = False
        self._monitor = threading.Thread(target=self._watch, daemon=True, name="eb-monitor")

    def start(self) -> None:
        """Goes on where the simulator's last run stopped."""
        self._runner.clean()
        with self._store.lock:
            for environment in list(self._store.state.there()):
                # what DNS had not heard of when the simulator ended, it has heard of now
                self._store.state.dns[environment.cname] = environment.id
                self.routes.open(environment)
                if environment.operation:
                    self._schedule(environment, environment.operation.due - time.time())
                if environment.status in ("Ready", "Updating"):
                    self._spawn(self._start_instances, environment.id)
        self._monitor.start()

    def close(self) -> None:
        self._closed.set()
        if self._monitor.is_alive():
            self._monitor.join(5)
        self.routes.close()
        self._runner.close()

    def pause(self) -> None:
        """From now on what is begun stays under way, as in a cloud that is stuck."""
        self._paused = True

    def begin(
        self, environment: Environment, kind: str, request_id: str, seconds: float, other: str = ""
    ) -> None:
        """Starts an operation that ends by itself after `seconds`. The caller holds the lock."""
        environment.operation = Operation(
            kind=kind, request_id=request_id, due=time.time() + seconds, other=other
        )
        environment.updated = time.time()
        self._schedule(environment, seconds)

    def _schedule(self, environment: Environment, seconds: float) -> None:
        if self._paused:
            return
        operation = environment.operation
        timer = threading.Timer(max(0.0, seconds), self._due, [environment.id, operation])
        timer.daemon = True
        timer.start()

    def _spawn(self, task: Callable[[str], object], environment_id: str) -> None:
        threading.Thread(target=task, args=[environment_id], daemon=True).start()

    def _due(self, environment_id: str, operation: Operation) -> None:
        with self._store.lock:
            environment = self._store.state.environments[environment_id]
            if environment.operation is not operation or self._closed.is_set():
                return  # something else has begun meanwhile: a launch that is being ended
        {
            "launch": self._launch,
            "update": self._update,
            "swap": self._swap,
            "tags": self._settle,
            "terminate": self._terminate,
        }[operation.kind](environment)
        with self._store.lock:
            self._store.save()

    # --- launching

    def _launch(self, environment: Environment) -> None:
        refusal = self._cannot_launch(environment)
        if refusal:
            self._failed(environment, [refusal, "Failed to launch environment."])
            return
        self._say(environment, "Waiting for EC2 instances to launch. This may take a few minutes.")
        problem = self._start_instances(environment.id)
        with self._store.lock:
            if environment.status != "Launching":
                return
            name = environment.name
            if problem:
                environment.tail = {"eb-engine.log": problem}
                self._failed(
                    environment,
                    [
                        f"[Instance: {next(iter(environment.instances), 'i-0')}] Command failed "
                        "on instance. Return code: 1 Output: Engine execution has encountered an "
                        "error..",
                        "Instance deployment failed. For details, see 'eb-engine.log'.",
                        "Create environment operation is complete, but with errors. For more "
                        "information, see troubleshooting documentation.",
                    ],
                )
                return
            self._say(environment, f"Application available at {environment.cname}.")
            if self._answers(environment):
                self._health(environment, "Ok", [])
                self._say(environment, f"Successfully launched environment: {name}")
            else:
                self._health(environment, "Severe", [_SICK])
                self._say(
                    environment,
                    f"Launched environment: {name}. However, there were issues during launch. See "
                    "event log for details.",
                    "WARN",
                )
            self._settle(environment)

    def _cannot_launch(self, environment: Environment) -> str | None:
        account = self._store.state.account
        launch = "aws:autoscaling:launchconfiguration"
        profile = environment.option(launch, "IamInstanceProfile")
        if not profile:
            return "Environment must have instance profile associated with it."
        if account.instance_profiles is not None and profile not in account.instance_profiles:
            return f"The instance profile {profile} associated with the environment does not exist."
        key = environment.option(launch, "EC2KeyName")
        if key and account.key_pairs is not None and key not in account.key_pairs:
            return f"The key pair '{key}' does not exist"
        return None

    def _failed(self, environment: Environment, messages: Sequence[str]) -> None:
        with self._store.lock:
            for message in messages:
                self._say(environment, message, "ERROR")
            self._health(environment, "Severe", ["Incorrect application version found."])
            self._settle(environment)

    def _start_instances(self, environment_id: str) -> str | None:
        """The text for eb-engine.log when it fails."""
        with self._store.lock:
            environment = self._store.state.environments[environment_id]
            version = self._store.state.version(environment.application, environment.version)
            wanted = int(environment.option("aws:autoscaling:asg", "MinSize", "1"))
            options = dict(environment.options)
        properties = {
            k[len(PROPERTIES) :]: v for k, v in options.items() if k.startswith(PROPERTIES)
        }
        try:
            for key in (k for k in options if k.startswith(SECRETS)):
                properties[key[len(SECRETS) :]] = self._secret(options[key])
            image, port = image_of((version and self._bundle(version)) or b"")
            started = {}
            for _ in range(min(wanted, MOST_INSTANCES)):
                number = new_id("i-0", 16, "0123456789abcdef")
                started[number] = self._runner.start(
                    image,
                    {k: v for k, v in properties.items() if k != "PORT"},
                    name=f"{environment.name}-{number}",
                    limits=Limits(port=port),
                )
        except ImageNotFound as error:
            unknown = f"manifest for {image} not found: manifest unknown ({error})"
            return f"{_COMMAND_FAILED} Docker pull failed: {unknown}"
        except (InstanceError, ValueError, LookupError) as error:
            return f"{_COMMAND_FAILED} {error}"
        with self._store.lock:
            unwanted = dict(self._running.get(environment_id, {}))
            if environment.status in ("Terminating", "Terminated") or self._closed.is_set():
                unwanted, started = started, {}
            else:
                self._running[environment_id] = started
                environment.instances = dict.fromkeys(started, time.time())
                self._say(
                    environment,
                    f"Added instance [{', '.join(started)}] to your environment.",
                )
        self._wait_until_healthy(environment, started)
        for instance in unwanted.values():
            instance.stop()
        return None

    def _wait_until_healthy(
        self, environment: Environment, instances: Mapping[str, Instance]
    ) -> None:
        end = time.monotonic() + self._timings.start
        while time.monotonic() < end and environment.status != "Terminating":
            if all(self._ok(environment, i) for i in instances.values()):
                return
            if not any(alive(i) for i in instances.values()):
                return
            if self._closed.wait(0.05):
                return

    def _update(self, environment: Environment) -> None:
        problem = self._start_instances(environment.id)
        with self._store.lock:
            if problem or not self._answers(environment):
                self._say(environment, "Failed to deploy application.", "ERROR")
                self._health(environment, "Severe", [problem or _SICK])
            else:
                self._say(environment, "Environment update completed successfully.")
            self._settle(environment)

    # --- names

    def _swap(self, environment: Environment) -> None:
        with self._store.lock:
            state = self._store.state
            assert environment.operation is not None  # noqa: S101
            other = state.environments[environment.operation.other]
            names = f"{environment.name} and {other.name}"
            environment.cname, other.cname = other.cname, environment.cname
            for one in (environment, other):
                self._say(one, f"Completed swapping CNAMEs for environments {names}.")
                self._settle(one)
        self.routes.publish_later(environment.id, other.id)

    def _urls(self, environment_id: str) -> list[str]:
        instances = self._running.get(environment_id, {})
        return [i.url for i in list(instances.values()) if alive(i)]

    # --- ending

    def _terminate(self, environment: Environment) -> None:
        for instance in self._running.pop(environment.id, {}).values():
            instance.stop()
        with self._store.lock:
            self._say(environment, "terminateEnvironment completed successfully.")
            environment.status, environment.color, environment.health = "Terminated", "Grey", ""
            environment.instances, environment.causes, environment.operation = {}, [], None
            environment.updated = time.time()
            self.routes.forget(environment)

    def _settle(self, environment: Environment) -> None:
        with self._store.lock:
            environment.operation = None
            environment.status = "Ready"
            environment.updated = time.time()

    # --- health

    def _watch(self) -> None:
        while not self._closed.wait(self._timings.monitor):
            with self._store.lock:
                ready = [e for e in self._store.state.there() if e.status in ("Ready", "Updating")]
            for environment in ready:
                if not self._running.get(environment.id):
                    continue
                well = self._answers(environment)
                with self._store.lock:
                    if environment.status in ("Ready", "Updating"):
                        self._health(environment, *(("Ok", []) if well else ("Severe", [_SICK])))

    def _answers(self, environment: Environment) -> bool:
        instances = list(self._running.get(environment.id, {}).values())
        return bool(instances) and all(self._ok(environment, i) for i in instances)

    def _ok(self, environment: Environment, instance: Instance) -> bool:
        path = environment.option(PROCESS, "HealthCheckPath", "/")
        matcher = environment.option(PROCESS, "MatcherHTTPCode", "200")
        return alive(instance) and healthy(instance.url, path, matcher)

    def _health(self, environment: Environment, health: str, causes: list[str]) -> None:
        forced = self._store.state.account.forced_health.get(environment.name)
        if forced:
            health, causes = forced, ["forced by the simulator"] if forced != "Ok" else []
        if health != environment.health and environment.enhanced:
            message = f"Environment health has transitioned from {environment.health} to {health}."
            self._say(
                environment,
                f"{message} {' '.join(causes)}".strip(),
                "INFO" if health == "Ok" else "WARN",
            )
        environment.health, environment.causes = health, causes
        environment.color = COLORS[health]

    def lines(self, environment: Environment, instance: str) -> Sequence[LogLine]:
        """What the container on a server wrote."""
        running = self._running.get(environment.id, {}).get(instance)
        return running.logs(1000) if running else ()

    def logs(self, environment: Environment) -> str:
        """What `eb logs` would show: the container's last lines below those of the platform."""
        parts = [f"/var/log/{name}\n{text}" for name, text in environment.tail.items()]
        for number, instance in self._running.get(environment.id, {}).items():
            lines = "\n".join(line.text for line in instance.logs(100))
            parts.append(
                f"/var/log/eb-docker/containers/eb-current-app/{number}-stdouterr.log\n{lines}"
            )
        rule = "-" * 40
        return "\n\n".join(
            f"{rule}\n{p.partition(chr(10))[0]}\n{rule}\n{p.partition(chr(10))[2]}" for p in parts
        )

    def _say(self, environment: Environment, message: str, severity: str = "INFO") -> None:
        with self._store.lock:
            self._store.event(environment, message, severity)


_COMMAND_FAILED = "[ERROR] An error occurred during execution of command [app-deploy]:"
_SICK = "ELB processes are not healthy on all instances."

COLORS = {
    "Ok": "Green",
    "Info": "Green",
    "Warning": "Yellow",
    "Degraded": "Red",
    "Severe": "Red",
    "Pending": "Grey",
    "Unknown": "Grey",
    "NoData": "Grey",
    "Suspended": "Grey",
}


def storage_bucket(region: str) -> str:
    return f"elasticbeanstalk-{region}-{ACCOUNT}"
