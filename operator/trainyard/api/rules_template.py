"""Rules over the pod templates: what Trainyard sets itself, what would contradict the job, and what could never run."""

from typing import Any

from trainyard.api.constants import ENV_PREFIX, GROUP, MAX_GPUS_PER_POD, RESERVED_FOLDER, TRAINER, VOLUME_PREFIX
from trainyard.api.rule import Json, Rule, dig, fits, role_rule

POD = ("spec.roles[].template.spec",)
WHOLE_GPUS = "[0-9]|[1-5][0-9]|6[0-4]"
if MAX_GPUS_PER_POD != 64:
    raise AssertionError("WHOLE_GPUS spells out the bound")

# CEL over a role `r` of `self`, a spec: the accelerator's resource name, and whether container `c` is the trainer.
_RES = "(has(r.accelerator) && has(r.accelerator.resource) ? r.accelerator.resource : self.accelerator.resource)"
_IS_TRAINER = (
    f"(c.name == '{TRAINER}' || (c.name == r.template.spec.containers[0].name && "
    f"!r.template.spec.containers.exists(x, x.name == '{TRAINER}')))"
)


def _every_container(holds: str) -> str:
    """CEL over a pod's spec: all its containers and init containers `c`."""
    return f"self.containers.all(c, {holds}) && (!has(self.initContainers) || self.initContainers.all(c, {holds}))"


def _asks(kind: str) -> str:
    return f"has(c.resources) && has(c.resources.{kind}) && {_RES} in c.resources.{kind}"


def _resource(spec: Json, role: Json) -> str:
    return str(dig(role, "accelerator", "resource") or spec["accelerator"]["resource"])


def _containers(pod: Json, *kinds: str) -> list[Any]:
    return [container for kind in kinds or ("containers", "initContainers") for container in pod.get(kind) or ()]


def _trainer(role: Json) -> Any:
    containers = _containers(role["template"]["spec"], "containers")
    return next((c for c in containers if c["name"] == TRAINER), containers[0])


def _others(role: Json) -> list[Any]:
    trainer = _trainer(role)
    pod = role["template"]["spec"]
    sidecars = [c for c in _containers(pod, "initContainers") if c.get("restartPolicy") == "Always"]
    return [c for c in _containers(pod, "containers") if c is not trainer] + sidecars


def _asked(container: Json, kind: str, resource: str) -> str | None:
    value = dig(container, "resources", kind, resource)
    return None if value is None else str(value)


def _no_gpus_beside(spec: Json, role: Json) -> bool:
    resource = _resource(spec, role)
    return all(_asked(c, kind, resource) is None for c in _others(role) for kind in ("limits", "requests"))


def _limit_is_whole(spec: Json, role: Json) -> bool:
    limit = _asked(_trainer(role), "limits", _resource(spec, role))
    return limit is None or fits(WHOLE_GPUS, limit)


def _limit_is_gpus(spec: Json, role: Json) -> bool:
    limit = _asked(_trainer(role), "limits", _resource(spec, role))
    return limit is None or "gpus" not in role or limit == str(role["gpus"])


def _request_is_limit(spec: Json, role: Json) -> bool:
    request, limit = (_asked(_trainer(role), kind, _resource(spec, role)) for kind in ("requests", "limits"))
    return request is None or request == (str(role["gpus"]) if "gpus" in role else limit)


GPUS = (
    role_rule(
        "gpus-of-trainer-only",
        cel=f"r.template.spec.containers.all(c, {_IS_TRAINER} || !({_asks('limits')} || {_asks('requests')})) && "
        "(!has(r.template.spec.initContainers) || r.template.spec.initContainers.all(c, "
        f"!has(c.restartPolicy) || c.restartPolicy != 'Always' || !({_asks('limits')} || {_asks('requests')})))",
        what="a container beside the trainer asks for accelerators",
        mend="only the trainer may have them: remove that limit, or name the container that trains 'trainer'",
        holds=_no_gpus_beside,
    ),
    role_rule(
        "gpu-limit-whole",
        cel=f"r.template.spec.containers.all(c, !{_IS_TRAINER} || !({_asks('limits')}) || "
        f"string(c.resources.limits[{_RES}]).matches('^({WHOLE_GPUS})$'))",
        what=f"the trainer's accelerator limit is not a whole number from 0 to {MAX_GPUS_PER_POD}",
        mend="write it as a plain number, or set gpus and remove the limit",
        holds=_limit_is_whole,
    ),
    role_rule(
        "gpu-limit-is-gpus",
        cel=f"!has(r.gpus) || r.template.spec.containers.all(c, !{_IS_TRAINER} || !({_asks('limits')}) || "
        f"string(c.resources.limits[{_RES}]) == string(r.gpus))",
        what="the trainer's accelerator limit differs from gpus",
        mend="remove one of the two, or make them equal",
        holds=_limit_is_gpus,
    ),
    role_rule(
        "gpu-request-is-limit",
        cel=f"r.template.spec.containers.all(c, !{_IS_TRAINER} || !({_asks('requests')}) || "
        f"(has(r.gpus) ? string(c.resources.requests[{_RES}]) == string(r.gpus) : {_asks('limits')} && "
        f"string(c.resources.requests[{_RES}]) == string(c.resources.limits[{_RES}])))",
        what="the trainer's accelerator request differs from its limit",
        mend="accelerators cannot be overcommitted: remove the request",
        holds=_request_is_limit,
    ),
)

SCHEDULING = (
    role_rule(
        "scheduler-name",
        need="self.scheduling.placement == 'Builtin'",
        cel="!has(r.template.spec.schedulerName)",
        what="template.spec.schedulerName contradicts scheduling.placement: Builtin, where Trainyard chooses the nodes",
        mend="remove schedulerName, or set scheduling.placement: Delegated",
        holds=lambda spec, role: (
            spec["scheduling"]["placement"] != "Builtin" or "schedulerName" not in role["template"]["spec"]
        ),
    ),
    role_rule(
        "priority-class",
        cel="!has(r.template.spec.priorityClassName) || (has(self.scheduling.priorityClassName) && "
        "r.template.spec.priorityClassName == self.scheduling.priorityClassName)",
        what="template.spec.priorityClassName contradicts scheduling.priorityClassName",
        mend="set scheduling.priorityClassName alone: it serves the queue and the pods",
        holds=lambda spec, role: (
            role["template"]["spec"].get("priorityClassName") in (None, spec["scheduling"].get("priorityClassName"))
        ),
    ),
    Rule(
        id="no-priority",
        at=POD,
        cel="!has(self.priority)",
        what="priority is computed from the priority class",
        mend="remove it and set scheduling.priorityClassName",
        holds=lambda pod: "priority" not in pod,
    ),
    Rule(
        id="no-node-name",
        at=POD,
        cel="!has(self.nodeName)",
        what="nodeName pins every replica to one node",
        mend="remove it: Trainyard chooses the nodes; narrow the choice with nodeSelector or affinity",
        holds=lambda pod: "nodeName" not in pod,
    ),
)

IDENTITY = (
    Rule(
        id="no-hostname",
        at=POD,
        cel="!has(self.hostname) && !has(self.subdomain) && !has(self.hostnameOverride) && "
        "!(has(self.setHostnameAsFQDN) && self.setHostnameAsFQDN)",
        what="hostname, subdomain, hostnameOverride and setHostnameAsFQDN are not free: the ranks find each "
        "other by them",
        mend="remove them; TRAINYARD_* variables tell a pod its names",
        holds=lambda pod: (
            not any(pod.get(k) for k in ("hostname", "subdomain", "hostnameOverride", "setHostnameAsFQDN"))
        ),
    ),
    Rule(
        id="reserved-keys",
        at=("spec.roles[].template.metadata",),
        cel=f"(!has(self.labels) || self.labels.all(k, !k.startsWith('{GROUP}/'))) && "
        f"(!has(self.annotations) || self.annotations.all(k, !k.startsWith('{GROUP}/')))",
        what=f"labels and annotations {GROUP}/* are set by Trainyard",
        mend="remove them or use a prefix of your own",
        holds=lambda meta: (
            not any(key.startswith(f"{GROUP}/") for kind in ("labels", "annotations") for key in meta.get(kind) or ())
        ),
    ),
    Rule(
        id="reserved-volumes",
        at=POD,
        field="volumes",
        cel=f"!has(self.volumes) || self.volumes.all(v, !v.name.startsWith('{VOLUME_PREFIX}'))",
        what=f"volumes named {VOLUME_PREFIX}* are made by Trainyard",
        mend="rename the volume",
        holds=lambda pod: not any(v["name"].startswith(VOLUME_PREFIX) for v in pod.get("volumes") or ()),
    ),
    Rule(
        id="reserved-folder",
        at=POD,
        cel=_every_container(
            f"!has(c.volumeMounts) || c.volumeMounts.all(m, m.mountPath != '{RESERVED_FOLDER}' && "
            f"!m.mountPath.startsWith('{RESERVED_FOLDER}/'))"
        ),
        what=f"{RESERVED_FOLDER} is where Trainyard mounts the gang's hosts",
        mend="mount the volume elsewhere",
        holds=lambda pod: (
            not any(
                (m["mountPath"] + "/").startswith(f"{RESERVED_FOLDER}/")
                for c in _containers(pod)
                for m in c.get("volumeMounts") or ()
            )
        ),
    ),
    Rule(
        id="reserved-env",
        at=POD,
        cel=_every_container(f"!has(c.env) || c.env.all(e, !e.name.startsWith('{ENV_PREFIX}'))"),
        what=f"env names {ENV_PREFIX}* are set by Trainyard",
        mend="remove them or use names of your own",
        holds=lambda pod: (
            not any(e["name"].startswith(ENV_PREFIX) for c in _containers(pod) for e in c.get("env") or ())
        ),
    ),
    Rule(
        id="reserved-env-prefix",
        at=POD,
        cel=_every_container(
            f"!has(c.envFrom) || c.envFrom.all(e, !has(e.prefix) || !e.prefix.startsWith('{ENV_PREFIX}'))"
        ),
        what=f"envFrom with a prefix {ENV_PREFIX}* would take names that Trainyard sets",
        mend="use a prefix of your own",
        holds=lambda pod: (
            not any(
                (e.get("prefix") or "").startswith(ENV_PREFIX) for c in _containers(pod) for e in c.get("envFrom") or ()
            )
        ),
    ),
)

CONTAINERS = (
    Rule(
        id="restart-policy",
        at=POD,
        field="restartPolicy",
        cel="!has(self.restartPolicy) || self.restartPolicy == 'Never'",
        what="restartPolicy must be Never: the attempt restarts as a whole, not the container",
        mend="remove it; failurePolicy says how often the job restarts",
        holds=lambda pod: pod.get("restartPolicy", "Never") == "Never",
    ),
    Rule(
        id="container-restart-policy",
        at=POD,
        field="containers",
        cel="self.containers.all(c, !has(c.restartPolicyRules) && (!has(c.restartPolicy) || c.restartPolicy == "
        "'Never'))",
        what="a container has a restart policy of its own: the attempt restarts as a whole, not the container",
        mend="remove restartPolicy and restartPolicyRules; a sidecar that may restart belongs into initContainers",
        holds=lambda pod: all(
            "restartPolicyRules" not in c and c.get("restartPolicy", "Never") == "Never"
            for c in _containers(pod, "containers")
        ),
    ),
    Rule(
        id="trainer-is-no-init-container",
        at=POD,
        field="initContainers",
        cel=f"!has(self.initContainers) || self.initContainers.all(c, c.name != '{TRAINER}')",
        what=f"two containers named {TRAINER}, or an init container of that name: the trainer is one of containers",
        mend="rename the init container",
        holds=lambda pod: all(c["name"] != TRAINER for c in _containers(pod, "initContainers")),
    ),
    Rule(
        id="images",
        at=POD,
        cel=_every_container("has(c.image) && c.image != ''"),
        what="a container has no image",
        mend="set image on every container and init container",
        holds=lambda pod: all(c.get("image") for c in _containers(pod)),
    ),
    role_rule(
        "mount-path-taken",
        need="has(self.checkpoint)",
        cel=f"r.template.spec.containers.all(c, !{_IS_TRAINER} || !has(c.volumeMounts) || "
        "c.volumeMounts.all(m, m.mountPath != self.checkpoint.mountPath))",
        what="the trainer mounts a volume of its own at checkpoint.mountPath",
        mend="remove that mount, or choose another checkpoint.mountPath",
        holds=lambda spec, role: (
            not any(
                m["mountPath"] == dig(spec, "checkpoint", "mountPath") for m in _trainer(role).get("volumeMounts") or ()
            )
        ),
    ),
)

TEMPLATE_RULES = (*GPUS, *SCHEDULING, *IDENTITY, *CONTAINERS)
