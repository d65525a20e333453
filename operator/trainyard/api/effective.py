"""What a role really is once its job's defaults and its template have been taken into account. Pure.

The rank layout is fixed here too: the order of the roles gives the ranks, rank = offset of the role + index.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from trainyard.api.base import Model
from trainyard.api.types import Accelerator, Framework, JobSpec, Rdma, Role


@dataclass(frozen=True, slots=True)
class EffectiveRole:
    """A role with nothing left to look up elsewhere."""

    name: str
    replicas: int
    offset: int  # rank of index 0
    completes: bool
    framework: Framework
    gpus: int
    processes_per_pod: int
    accelerator: Accelerator  # applies where gpus > 0
    rdma: Rdma | None  # None where the role gets no RDMA device
    trainer: str  # name of the container whose exit decides a replica's fate
    template: Mapping[str, Any]

    def rank(self, index: int) -> int:
        """Rank of one replica over all pods of the job."""
        return self.offset + index

    @property
    def claims_devices(self) -> bool:
        """It has no accelerators that are counted, and claims devices: its accelerators, as far as anybody can tell."""
        return self.gpus == 0 and bool(self.template["spec"].get("resourceClaims"))


def trainer_index(template: Mapping[str, Any]) -> int:
    """Position of the trainer among the template's containers: the one named trainer, else the first."""
    containers = template["spec"]["containers"]
    return next((i for i, container in enumerate(containers) if container["name"] == "trainer"), 0)


def trainer_container(template: Mapping[str, Any]) -> Mapping[str, Any]:
    """The trainer itself."""
    container: Mapping[str, Any] = template["spec"]["containers"][trainer_index(template)]
    return container


def effective_accelerator(spec: JobSpec, role: Role) -> Accelerator:
    """The job's accelerator with the role's own fields laid over it."""
    return spec.accelerator.model_copy(update=_said(role.accelerator))


def _said(own: Model | None) -> dict[str, Any]:
    """The fields that a role's own block sets."""
    if own is None:
        return {}
    fields = {name: getattr(own, name) for name in own.model_fields_set}
    return {name: value for name, value in fields.items() if value is not None}


def effective_gpus(spec: JobSpec, role: Role) -> int:
    """Accelerators per pod: as declared, else the trainer's own limit, else none."""
    if role.gpus is not None:
        return role.gpus
    limits = (trainer_container(role.template).get("resources") or {}).get("limits") or {}
    return int(limits.get(effective_accelerator(spec, role).resource, 0))


def effective_rdma(spec: JobSpec, role: Role) -> Rdma | None:
    """The RDMA devices of a role with accelerators; None where it has none of either."""
    if effective_gpus(spec, role) == 0:
        return None
    merged = {**_said(spec.rdma), **_said(role.rdma)}
    if "resource" not in merged or merged.get("per_pod") == 0:
        return None
    return Rdma(**merged)


def effective_roles(spec: JobSpec) -> tuple[EffectiveRole, ...]:
    """All roles in rank order."""
    roles: list[EffectiveRole] = []
    offset = 0
    for role in spec.roles:
        framework, gpus = role.framework or spec.framework, effective_gpus(spec, role)
        roles.append(
            EffectiveRole(
                name=role.name,
                replicas=role.replicas,
                offset=offset,
                completes=role.completes,
                framework=framework,
                gpus=gpus,
                processes_per_pod=role.processes_per_pod or _processes(framework, gpus),
                accelerator=effective_accelerator(spec, role),
                rdma=effective_rdma(spec, role),
                trainer=trainer_container(role.template)["name"],
                template=role.template,
            )
        )
        offset += role.replicas
    return tuple(roles)


def _processes(framework: Framework, gpus: int) -> int:
    # One process of JAX or TensorFlow drives all accelerators of its pod.
    return 1 if framework in (Framework.JAX, Framework.TENSORFLOW) else max(gpus, 1)


def total_pods(spec: JobSpec) -> int:
    """Pods of one attempt."""
    return sum(role.replicas for role in spec.roles)


def total_gpus(spec: JobSpec) -> int:
    """Accelerators of one attempt, over all roles."""
    return sum(role.replicas * effective_gpus(spec, role) for role in spec.roles)
