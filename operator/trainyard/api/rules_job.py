"""Rules over the job's own fields: names, bounds that two fields share, paths, and what a role declares."""

from trainyard.api.constants import DEFAULT_GPU_RESOURCE, MANAGER, MAX_NAME, MAX_PODS
from trainyard.api.names import longest_pod_name
from trainyard.api.rule import Json, Rule, dig, first_role, fits, matching, role_rule

LABEL = "[a-z]([-a-z0-9]*[a-z0-9])?"
OBJECT = "[a-z0-9]([-a-z0-9.]*[a-z0-9])?"
RESOURCE = "[a-z0-9]([-a-z0-9.]*[a-z0-9])?/[A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?"
LABEL_KEY = "([a-z0-9]([-a-z0-9.]*[a-z0-9])?/)?[A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?"
LABEL_VALUE = "([A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?)?"
MANAGER_PATH = "[a-z0-9]([-a-z0-9.]*[a-z0-9])?/[A-Za-z0-9/._~%-]+"
SEGMENT = "[A-Za-z0-9._@+-]+"
PATH = f"(/{SEGMENT})+"
RELATIVE = f"{SEGMENT}(/{SEGMENT})*"
DOTS = ".*/[.][.]?(/.*)?"
SYSTEM = "/(bin|boot|dev|etc|lib|lib32|lib64|proc|run|sbin|sys|usr|var/run)(/.*)?|/(home|opt|root|var)"
SIZE = "([1-9][0-9]*([.][0-9]+)?|0[.][0-9]*[1-9][0-9]*)([kMGTPE]|[KMGTPE]i)?"

_FIXED = longest_pod_name("", "", 1) - 1


def _longest(job: Json) -> tuple[str, int]:
    name = job["metadata"]["name"]
    lengths = {r["name"]: longest_pod_name(name, r["name"], r["replicas"]) for r in job["spec"]["roles"]}
    role = next((role for role, length in lengths.items() if length > MAX_NAME), "")
    return role, lengths.get(role, 0)


def _names_fit() -> Rule:
    length = f"size(self.metadata.name) + size(r.name) + size(string(r.replicas - 1)) + {_FIXED}"
    worst = first_role("self.spec.roles", f"{length} <= {MAX_NAME}")

    def say(job: Json) -> str:
        return f"metadata.name '{job['metadata']['name']}' is too long for pods of role '{_longest(job)[0]}'"

    return Rule(
        id="names-fit",
        at=("",),
        field="metadata.name",
        cel=f"self.spec.roles.all(r, {length} <= {MAX_NAME})",
        what="metadata.name is too long for the pods of one of the roles",
        mend=f"a pod's name is job, role and index with {_FIXED} more characters (UID, attempt, dashes) and may have "
        f"{MAX_NAME}: shorten the job's or the role's name",
        holds=lambda job: not _longest(job)[0],
        what_cel=f"'metadata.name \\'' + self.metadata.name + '\\' is too long for pods of role \\'' + {worst} + '\\''",
        say=say,
    )


NAMES = (
    Rule(
        id="job-name",
        at=("",),
        field="metadata.name",
        cel=matching("self.metadata.name", LABEL),
        what="metadata.name must be lowercase letters, digits and '-', starting with a letter and not ending with '-'",
        mend="pods, hostnames and the Service are named after it: rename the job",
        holds=lambda job: fits(LABEL, job["metadata"]["name"]),
    ),
    _names_fit(),
    Rule(
        id="role-name",
        at=("spec.roles[].name",),
        cel=matching("self", LABEL),
        what="a role's name must be lowercase letters, digits and '-', starting with a letter and not ending with '-'",
        mend="pods and hostnames are named after it: rename the role",
        holds=lambda name: fits(LABEL, name),
    ),
    Rule(
        id="object-name",
        at=(
            "spec.scheduling.priorityClassName",
            "spec.checkpoint.volume.claimName",
            "spec.checkpoint.volume.claimTemplate.spec.storageClassName",
            "spec.checkpoint.volume.claimTemplate.spec.volumeName",
        ),
        cel=f"self == '' || {matching('self', OBJECT)}",  # where no name may be empty, the schema says so
        what="this is no name of a Kubernetes object",
        mend="use lowercase letters, digits, '-' and '.', as `kubectl get` prints it",
        holds=lambda name: name == "" or fits(OBJECT, name),
    ),
    Rule(
        id="managed-by",
        at=("spec.managedBy",),
        cel=matching("self", MANAGER_PATH),
        what="managedBy must be a domain and a path",
        mend=f"write it like {MANAGER}, or leave it out",
        holds=lambda name: fits(MANAGER_PATH, name),
    ),
    Rule(
        id="resource-name",
        at=("spec.accelerator", "spec.rdma", "spec.roles[].accelerator", "spec.roles[].rdma"),
        field="resource",
        cel=f"!has(self.resource) || ({matching('self.resource', RESOURCE)} && "
        f"!self.resource.startsWith('kubernetes.io/'))",
        what="resource must be an extended resource",
        mend=f"write the name that the device plugin registers, such as {DEFAULT_GPU_RESOURCE}",
        holds=lambda value: (
            "resource" not in value
            or (fits(RESOURCE, value["resource"]) and not value["resource"].startswith("kubernetes.io/"))
        ),
    ),
    Rule(
        id="node-selector",
        at=("spec.accelerator.nodeSelector", "spec.roles[].accelerator.nodeSelector"),
        cel=f"self.all(k, {matching('k', LABEL_KEY)} && {matching('self[k]', LABEL_VALUE)})",
        what="nodeSelector has a key or a value that no node label can have",
        mend="use a label that `kubectl get nodes --show-labels` prints",
        holds=lambda selector: all(fits(LABEL_KEY, k) and fits(LABEL_VALUE, v) for k, v in selector.items()),
    ),
)

TOLERATIONS = (
    Rule(
        id="toleration",
        at=("spec.accelerator.tolerations[]", "spec.roles[].accelerator.tolerations[]"),
        cel="self.operator == 'Exists' ? !has(self.value) : has(self.key)",
        what="a toleration with operator Exists has no value, and one with operator Equal needs a key",
        mend="write {key: nvidia.com/gpu, operator: Exists}, or key, operator Equal and value",
        holds=lambda t: "value" not in t if t["operator"] == "Exists" else "key" in t,
    ),
    Rule(
        id="toleration-seconds",
        at=("spec.accelerator.tolerations[]", "spec.roles[].accelerator.tolerations[]"),
        cel="!has(self.tolerationSeconds) || (has(self.effect) && self.effect == 'NoExecute')",
        what="tolerationSeconds has a meaning for the effect NoExecute only",
        mend="set effect: NoExecute or remove tolerationSeconds",
        holds=lambda t: "tolerationSeconds" not in t or t.get("effect") == "NoExecute",
    ),
)

ROLES = (
    Rule(
        id="some-role-completes",
        at=("spec",),
        field="roles",
        cel="self.roles.exists(r, r.completes)",
        what="no role completes, so the job could never succeed",
        mend="set completes: true on the role whose exit means that the training is done",
        holds=lambda spec: any(role["completes"] for role in spec["roles"]),
    ),
    Rule(
        id="pods-in-all",
        at=("spec",),
        field="roles",
        cel=f"self.roles.map(r, r.replicas).sum() <= {MAX_PODS}",
        what=f"the roles' replicas add up to more than {MAX_PODS} pods",
        mend="lower replicas; let each pod use more gpus",
        holds=lambda spec: sum(role["replicas"] for role in spec["roles"]) <= MAX_PODS,
    ),
    role_rule(
        "rdma-resource",
        cel="!has(r.rdma) || has(r.rdma.resource) || has(self.rdma)",
        what="rdma names no resource, and neither does the job's rdma",
        mend="set rdma.resource to the name that the RDMA device plugin registers",
        holds=lambda spec, role: "rdma" not in role or "resource" in role["rdma"] or "rdma" in spec,
    ),
    role_rule(
        "rdma-is-not-accelerator",
        cel="!(has(r.rdma) && has(r.rdma.resource) || has(self.rdma)) || "
        "(has(r.rdma) && has(r.rdma.resource) ? r.rdma.resource : self.rdma.resource) != "
        "(has(r.accelerator) && has(r.accelerator.resource) ? r.accelerator.resource : self.accelerator.resource)",
        what="rdma.resource and accelerator.resource are the same",
        mend="name the RDMA device plugin's resource in rdma.resource, or remove rdma",
        holds=lambda spec, role: (
            (dig(role, "rdma", "resource") or dig(spec, "rdma", "resource"))
            != (dig(role, "accelerator", "resource") or spec["accelerator"]["resource"])
        ),
    ),
)

FIELDS = (
    Rule(
        id="topology-one-of",
        at=("spec.scheduling.topology",),
        cel="has(self.required) != has(self.preferred)",
        what="topology needs exactly one of required and preferred",
        mend="keep the one that you mean",
        holds=lambda topology: ("required" in topology) != ("preferred" in topology),
    ),
    Rule(
        id="backoff-order",
        at=("spec",),  # a rule at the block itself would judge its default, {}, before the defaults inside
        field="failurePolicy.backoff",
        cel="self.failurePolicy.backoff.initialSeconds <= self.failurePolicy.backoff.maxSeconds",
        what="initialSeconds is larger than maxSeconds",
        mend="raise maxSeconds or lower initialSeconds",
        holds=lambda spec: bool(
            spec["failurePolicy"]["backoff"]["initialSeconds"] <= spec["failurePolicy"]["backoff"]["maxSeconds"]
        ),
    ),
)

CHECKPOINT = (
    Rule(
        id="volume-one-of",
        at=("spec.checkpoint.volume",),
        cel="has(self.claimName) != has(self.claimTemplate)",
        what="volume needs exactly one of claimName and claimTemplate",
        mend="name an existing claim, or describe the one to be created",
        holds=lambda volume: ("claimName" in volume) != ("claimTemplate" in volume),
    ),
    Rule(
        id="storage-size",
        at=("spec.checkpoint.volume.claimTemplate.spec.resources.requests",),
        field="storage",
        cel=matching("string(self.storage)", SIZE),
        what="storage must be a size above 0, in digits",
        mend="write it like 500Gi or 0.5Ti",
        holds=lambda requests: fits(SIZE, requests["storage"]),
    ),
    Rule(
        id="claim-for-one-pod",
        at=("spec",),
        field="checkpoint.volume.claimTemplate.spec.accessModes",
        cel="!has(self.checkpoint) || !has(self.checkpoint.volume.claimTemplate) || "
        "!self.checkpoint.volume.claimTemplate.spec.accessModes.exists(m, m == 'ReadWriteOncePod') || "
        "(self.roles.size() == 1 && self.roles[0].replicas == 1)",
        what="a ReadWriteOncePod claim can be mounted by one pod, and this job has several",
        mend="use ReadWriteMany",
        holds=lambda spec: (
            "ReadWriteOncePod" not in (dig(spec, "checkpoint", "volume", "claimTemplate", "spec", "accessModes") or ())
            or sum(role["replicas"] for role in spec["roles"]) == 1
        ),
    ),
    Rule(
        id="mount-path",
        at=("spec.checkpoint.mountPath",),
        cel=f"{matching('self', PATH)} && !{matching('self', DOTS)}",
        what="mountPath must be an absolute path of letters, digits and . _ @ + - without '..' and without a "
        "'/' at its end",
        mend="write it like /checkpoints",
        holds=lambda path: fits(PATH, path) and not fits(DOTS, path),
    ),
    Rule(
        id="mount-path-not-system",
        at=("spec.checkpoint.mountPath",),
        cel=f"!{matching('self', SYSTEM)}",
        what="mountPath would hide a folder that the container's system needs",
        mend="use a folder of its own, such as /checkpoints",
        holds=lambda path: not fits(SYSTEM, path),
    ),
    Rule(
        id="directory",
        at=("spec.checkpoint.directory",),
        cel=matching("self", RELATIVE) + " && !" + matching("('/' + self)", DOTS),
        what="directory must stay under mountPath: a relative path of letters, digits and . _ @ + - without '.' "
        "or '..' as a part",
        mend="write it like gpt or team/gpt",
        holds=lambda path: fits(RELATIVE, path) and not fits(DOTS, "/" + path),
    ),
)

JOB_RULES = (*NAMES, *TOLERATIONS, *ROLES, *FIELDS, *CHECKPOINT)
