"""Every setting of the operator: its type, bounds, default, unit and meaning, in one typed object.

`--help`, the reference page and the error messages are made from what stands here. Where a value comes from (flag,
environment, file) is for `sources` to know.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Self

from pydantic import Field, model_validator
from pydantic_settings import BaseSettings, InitSettingsSource, PydanticBaseSettingsSource, SettingsConfigDict

from trainyard.launch import LaunchSettings
from trainyard.launch.pod_security import PodSecurity
from trainyard.model.cluster import SchedulingPolicy
from trainyard.model.plan import PlanningPolicy
from trainyard.settings.values import LabelKeys, Levels, Names, Ports, Selector, Span
from trainyard.version import VERSION

if TYPE_CHECKING:
    from trainyard.engine.engine_settings import EngineSettings

ENV_PREFIX = "TRAINYARD_"
HOME = "trainyard-system"


class LogFormat(StrEnum):
    JSON = "json"
    CONSOLE = "console"


class MetricsAuth(StrEnum):
    NONE = "none"
    KUBERNETES = "kubernetes"


class LogLevel(StrEnum):
    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


class Group(StrEnum):
    """The headings under which settings are explained."""

    CLUSTER = "Cluster"
    LEADERSHIP = "Leader election"
    WORK = "Work"
    SCHEDULING = "Scheduling"
    FAILURES = "Failures"
    CHILDREN = "What jobs' pods get"
    OBSERVING = "Logs, metrics, probes"
    IDENTITY = "Identity"


def setting(group: Group, default: Any, meaning: str, *, unit: str = "", **bounds: Any) -> Any:
    """A field with all that its explanation needs."""
    return Field(default=default, description=meaning, json_schema_extra={"group": group.value, "unit": unit}, **bounds)


Port = Annotated[int, Field(ge=1, le=65535)]


class Settings(BaseSettings):
    """All settings, checked. Build it with `sources.read_settings`, which knows flags, environment and file."""

    model_config = SettingsConfigDict(
        frozen=True, extra="forbid", env_prefix=ENV_PREFIX, env_ignore_empty=True, enable_decoding=False
    )

    from_file: ClassVar[Mapping[str, Any]] = {}
    """What the settings file says, by field; `sources` fills it in a subclass."""

    kubeconfig: str = setting(
        Group.CLUSTER, "", "Kubeconfig file. Empty: the pod's service account, else the default kubeconfig."
    )
    context: str = setting(Group.CLUSTER, "", "Context of the kubeconfig. Empty: its current context.")
    namespaces: Names = setting(
        Group.CLUSTER, (), "Namespaces whose jobs are served. Empty: all of them (needs the cluster role)."
    )
    api_in_flight: int = setting(
        Group.CLUSTER,
        160,
        "Requests to the API server that may be under way at once: more than the creation of one gang takes, so no "
        "other job waits behind it.",
        unit="requests",
        ge=1,
        le=1000,
    )
    api_timeout: Span = setting(
        Group.CLUSTER, 30.0, "How long one request may take before it counts as lost.", unit="seconds", ge=1, le=300
    )

    watch_silence: Span = setting(
        Group.CLUSTER,
        150.0,
        "How long a watch may be silent before it counts as dead and is opened anew. The API server lets itself be "
        "heard once a minute or two: less than 130 s only costs it lists.",
        unit="seconds",
        ge=1,
        le=600,
    )
    watch_lost_after: Span = setting(
        Group.CLUSTER,
        300.0,
        "How long the operator may be not ready, because it cannot watch, before it ends itself to be started anew.",
        unit="seconds",
        ge=1,
        le=3600,
    )

    lease_name: str = setting(Group.LEADERSHIP, "trainyard-operator", "Name of the Lease.", min_length=1)
    lease_namespace: str = setting(Group.LEADERSHIP, "", "Namespace of the Lease. Empty: the operator's own.")
    lease_duration: Span = setting(
        Group.LEADERSHIP,
        15.0,
        "How long a silent leader is believed in; another takes over after it.",
        unit="seconds",
        ge=2,
        le=300,
    )
    renew_deadline: Span = setting(
        Group.LEADERSHIP, 10.0, "A leader whose last renewal is older than this writes no more.", unit="seconds", ge=1
    )
    retry_period: Span = setting(
        Group.LEADERSHIP, 2.0, "How often the Lease is renewed, or tried for.", unit="seconds", ge=0.1
    )

    workers: int = setting(Group.WORK, 32, "Jobs that are worked on at once.", unit="jobs", ge=1, le=256)
    create_window: int = setting(
        Group.WORK,
        128,
        "Pods of one gang that are being created at once, after a slow start.",
        unit="requests",
        ge=1,
        le=1000,
    )
    delete_window: int = setting(
        Group.WORK, 64, "Pods of one gang that are being deleted at once.", unit="requests", ge=1, le=1000
    )
    stuck_after: Span = setting(
        Group.WORK,
        300.0,
        "Work that made no progress for this long makes the process report itself as not alive.",
        unit="seconds",
        ge=30,
    )

    topology_levels: Levels = setting(
        Group.SCHEDULING,
        SchedulingPolicy().levels,
        "Topology levels from the widest to the narrowest, each with its node label.",
    )
    owned_nodes: Selector = setting(
        Group.SCHEDULING, (), "Labels of the nodes that jobs are placed on. Empty: all nodes."
    )
    backfill_bound: Span = setting(
        Group.SCHEDULING,
        SchedulingPolicy().backfill_bound,
        "By how much smaller jobs may at most delay a waiting one that is ahead of them.",
        unit="seconds",
    )
    device_backed: LabelKeys = setting(
        Group.SCHEDULING,
        (),
        "Accelerator resources that are served by dynamic allocation and do not show in a node's status: "
        "their jobs are left to the cluster's scheduler, as with placement Delegated.",
    )
    hold_time: Span = setting(
        Group.SCHEDULING,
        120.0,
        "How long only jobs ahead of it may take the nodes that a restarting job left.",
        unit="seconds",
        le=3600,
    )
    unschedulable_time: Span = setting(
        Group.SCHEDULING,
        15.0,
        "How long a pinned pod may be called unschedulable before its gang is rolled back.",
        unit="seconds",
        ge=1,
        le=600,
    )

    grant_time: Span = setting(
        Group.SCHEDULING,
        30.0,
        "How long the nodes that a job was granted are kept for it until it has opened its attempt.",
        unit="seconds",
        ge=5,
        le=600,
    )
    schedule_debounce: Span = setting(
        Group.SCHEDULING,
        0.03,
        "How long changes are gathered before jobs are placed.",
        unit="seconds",
        le=10,
    )

    settle_time: Span = setting(
        Group.FAILURES,
        90.0,
        "How long a failure waits for signs of an infrastructure fault before it is charged to the job.",
        unit="seconds",
        ge=1,
        le=3600,
    )
    avoid_time: Span = setting(
        Group.FAILURES, 600.0, "How long a job avoids a node that failed it.", unit="seconds", le=86400
    )
    outage_time: Span = setting(
        Group.FAILURES,
        300.0,
        "How long at most gangs are left alone when most of the cluster's nodes, or all of their own, fall silent "
        "together: more likely the control plane no longer hears them. Beyond 300 s only pods last that tolerate "
        "node.kubernetes.io/unreachable for longer. 0: every silent node is believed dead at once.",
        unit="seconds",
        le=3600,
    )
    healthy_run: Span = setting(
        Group.FAILURES,
        600.0,
        "An attempt that ran this long sets the job's backoff back to zero.",
        unit="seconds",
        ge=1,
    )

    server_exit_time: Span = setting(
        Group.FAILURES,
        30.0,
        "How long a server's exit 0 waits for the end of those it serves before it counts as a failure.",
        unit="seconds",
        le=600,
    )

    inherit_labels: LabelKeys = setting(
        Group.CHILDREN, (), "Labels of a job that its pods and other children get too, for instance for accounting."
    )
    inherit_annotations: LabelKeys = setting(
        Group.CHILDREN, (), "Annotations of a job that its pods and other children get too."
    )
    host_ports: Ports = setting(
        Group.CHILDREN,
        LaunchSettings().host_ports,
        "From which ports the one is derived at which pods in their node's network meet; clear of node ports and of "
        "those that the nodes give out themselves. A gang that has opened keeps to those it opened with.",
        unit="ports",
    )
    pod_security: PodSecurity = setting(
        Group.CHILDREN,
        PodSecurity.NAMESPACE,
        "The most that jobs' pods may ask for: privileged, baseline or restricted, as Kubernetes defines them. "
        "namespace: whatever the labels of the job's namespace let the API server admit; no rule of the operator's.",
    )

    log_format: LogFormat = setting(Group.OBSERVING, LogFormat.JSON, "json for machines, console for people.")
    log_level: LogLevel = setting(Group.OBSERVING, LogLevel.INFO, "The least level that is logged.")
    http_address: str = setting(
        Group.OBSERVING, "", "Address on which /healthz and /readyz are served. Empty: every one."
    )
    http_port: Port = setting(Group.OBSERVING, 8080, "Port on which they are served, always as plain HTTP.")
    metrics_address: str = setting(Group.OBSERVING, "", "Address on which /metrics is served. Empty: every one.")
    metrics_port: Port = setting(Group.OBSERVING, 8081, "Port on which it is served.")
    metrics_jobs: int = setting(
        Group.OBSERVING,
        2000,
        "Jobs that have series of their own; of more, unfinished and younger ones first.",
        unit="jobs",
        ge=0,
        le=100_000,
    )
    metrics_pods: bool = setting(
        Group.OBSERVING,
        True,
        "true or false: one series for each pod, which joins an accelerator exporter's numbers with the job.",
    )
    metrics_tls_cert: str = setting(
        Group.OBSERVING, "", "File with the certificate for /metrics; read again when it is renewed. Empty: plain HTTP."
    )
    metrics_tls_key: str = setting(Group.OBSERVING, "", "File with its private key.")
    metrics_client_ca: str = setting(
        Group.OBSERVING,
        "",
        "File with the authority whose certificates readers of /metrics must show. Empty: they need none.",
    )
    metrics_auth: MetricsAuth = setting(
        Group.OBSERVING,
        MetricsAuth.NONE,
        "Who may read /metrics: anyone, or with kubernetes whoever shows a token of the cluster whose owner may get "
        "the non-resource URL /metrics.",
    )

    report_interval: Span = setting(
        Group.OBSERVING,
        5.0,
        "How often the operator looks at its own watches, and brings its gauges up to date.",
        unit="seconds",
        ge=0.1,
        le=60,
    )

    build: str = setting(
        Group.IDENTITY,
        VERSION,
        "This build, written into the record of every attempt. Images set it to their own digest or commit.",
        min_length=1,
        max_length=63,
    )
    pod_name: str = setting(Group.IDENTITY, "", "Name of the pod the operator runs in.")
    pod_uid: str = setting(Group.IDENTITY, "", "UID of that pod.")
    pod_namespace: str = setting(Group.IDENTITY, "", "Namespace of that pod.")

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Flags over environment over file. No dotenv file, no folder of secrets: they would be a surprise."""
        del dotenv_settings, file_secret_settings
        return (init_settings, env_settings, InitSettingsSource(settings_cls, dict(cls.from_file)))

    @model_validator(mode="after")
    def _lease_leaves_room(self) -> Self:
        if not self.retry_period * 1.2 < self.renew_deadline < self.lease_duration - 0.5:
            raise ValueError(
                f"retry-period ({self.retry_period:g}s), renew-deadline ({self.renew_deadline:g}s) and lease-duration "
                f"({self.lease_duration:g}s) leave no room; each must be clearly longer than the one before, "
                "as in 2s, 10s, 15s"
            )
        return self

    @model_validator(mode="after")
    def _metrics_fit_together(self) -> Self:
        if bool(self.metrics_tls_cert) != bool(self.metrics_tls_key):
            raise ValueError("metrics-tls-cert and metrics-tls-key belong together; give both or none")
        if not self.metrics_tls_cert and (self.metrics_client_ca or self.metrics_auth is not MetricsAuth.NONE):
            raise ValueError(
                "metrics-client-ca and metrics-auth need metrics-tls-cert and metrics-tls-key: "
                "tokens do not travel in the clear"
            )
        if self.metrics_port == self.http_port:
            raise ValueError(f"metrics-port and http-port are both {self.http_port}; each needs its own")
        return self

    @property
    def home(self) -> str:
        """The operator's own namespace."""
        return self.pod_namespace or HOME

    def planning_policy(self) -> PlanningPolicy:
        """What the planner of a job needs to know."""
        return PlanningPolicy(
            build=self.build,
            settle_seconds=self.settle_time,
            unschedulable_seconds=self.unschedulable_time,
            healthy_run_seconds=self.healthy_run,
            avoid_seconds=self.avoid_time,
            outage_seconds=self.outage_time,
            hold_seconds=self.hold_time,
            device_backed=frozenset(self.device_backed),
            grant_seconds=self.grant_time,
            server_exit_seconds=self.server_exit_time,
        )

    def scheduling_policy(self) -> SchedulingPolicy:
        """What the scheduler needs to know."""
        return SchedulingPolicy(
            levels=self.topology_levels,
            owned_nodes=self.owned_nodes,
            backfill_bound=self.backfill_bound,
            device_backed=frozenset(self.device_backed),
        )

    def engine_settings(self) -> EngineSettings:
        """What the engine needs to know."""
        from trainyard.engine.engine_settings import EngineSettings  # deferred: keeps `--help` quick
        from trainyard.kube.lease import LeaseSettings, identity_of_process

        return EngineSettings(
            planning=self.planning_policy(),
            scheduling=self.scheduling_policy(),
            lease=LeaseSettings(
                namespace=self.lease_namespace or self.home,
                name=self.lease_name,
                identity=identity_of_process(self.pod_name, self.pod_uid),
                duration=self.lease_duration,
                renew_deadline=self.renew_deadline,
                retry_period=self.retry_period,
            ),
            namespaces=self.namespaces,
            workers=self.workers,
            create_window=self.create_window,
            delete_window=self.delete_window,
            stuck_after=self.stuck_after,
            inherited_labels=self.inherit_labels,
            inherited_annotations=self.inherit_annotations,
            pod_security=self.pod_security,
            host_ports=self.host_ports,
            schedule_debounce=self.schedule_debounce,
            report_interval=self.report_interval,
            watch_silence=self.watch_silence,
            watch_lost_after=self.watch_lost_after,
        )
