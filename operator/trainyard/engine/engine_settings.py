"""Everything that can be set in the engine, as one frozen fact; flags, environment and files are read elsewhere."""

from __future__ import annotations

from dataclasses import dataclass, field

from trainyard.kube.client import SILENCE
from trainyard.kube.lease import LeaseSettings
from trainyard.launch import LaunchSettings
from trainyard.launch.pod_security import PodSecurity
from trainyard.model.cluster import SchedulingPolicy
from trainyard.model.plan import PlanningPolicy


@dataclass(frozen=True, slots=True)
class EngineSettings:
    """Limits and times of the engine, in seconds."""

    planning: PlanningPolicy
    lease: LeaseSettings
    scheduling: SchedulingPolicy = field(default_factory=SchedulingPolicy)
    namespaces: tuple[str, ...] = ()
    """Where jobs are looked after; empty: everywhere."""
    workers: int = 32
    """Jobs planned and acted upon at the same time."""
    create_window: int = 128
    """Pods of one job being created at the same time, once the first ones were accepted."""
    delete_window: int = 64
    schedule_debounce: float = 0.03
    """How long changes are gathered before a round of the scheduler."""
    stuck_after: float = 300.0
    """A key ready for this long without being worked on, or a worker this long on one key: the engine is not alive."""
    report_interval: float = 5.0
    """How often the watches are looked at and gauges reported."""
    watch_silence: float = SILENCE
    """A watch that is silent for longer is dead."""
    watch_lost_after: float = 300.0
    """Without a sound watch for longer than this, the engine gives up."""
    inherited_labels: tuple[str, ...] = ()
    """Labels of the job that its children carry too."""
    inherited_annotations: tuple[str, ...] = ()
    host_ports: tuple[int, int] = LaunchSettings().host_ports
    """First and last port derived for pods in their node's network."""
    pod_security: PodSecurity = PodSecurity.NAMESPACE
    """The most that jobs' pods may ask for."""

    @property
    def launch(self) -> LaunchSettings:
        """What manifests depend on."""
        return LaunchSettings(
            self.inherited_labels,
            self.inherited_annotations,
            self.scheduling.levels,
            self.scheduling.owned_nodes,
            self.host_ports,
            self.pod_security,
        )
