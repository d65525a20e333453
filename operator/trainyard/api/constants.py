"""The words of trainyard.dev that others may rely on: group, kinds, labels, annotations, reserved names.

Labels are public: users select by them. They may gain members, and never change their meaning.
"""

from typing import Final

GROUP: Final = "trainyard.dev"
VERSION: Final = "v1alpha1"
API_VERSION: Final = f"{GROUP}/{VERSION}"
KIND: Final = "TrainingJob"
PLURAL: Final = "trainingjobs"
SINGULAR: Final = "trainingjob"
SHORT_NAME: Final = "tj"

# The operator's own name in `spec.managedBy`: a job that says so is ours as if it said nothing.
MANAGER: Final = f"{GROUP}/operator"

LABEL_JOB: Final = f"{GROUP}/job"
LABEL_JOB_UID: Final = f"{GROUP}/job-uid"
LABEL_ROLE: Final = f"{GROUP}/role"
LABEL_INDEX: Final = f"{GROUP}/index"
LABEL_RANK: Final = f"{GROUP}/rank"
LABEL_ATTEMPT: Final = f"{GROUP}/attempt"  # the incarnation: the attempt that created the object
POD_LABELS: Final = (LABEL_JOB, LABEL_JOB_UID, LABEL_ROLE, LABEL_INDEX, LABEL_RANK, LABEL_ATTEMPT)
LABEL_NAMED: Final = f"{GROUP}/named"  # on pods whose names the Service answers

ANNOTATION_BUILD: Final = f"{GROUP}/build"

ENV_PREFIX: Final = "TRAINYARD_"
ENV_CHECKPOINT_DIR: Final = f"{ENV_PREFIX}CHECKPOINT_DIR"
VOLUME_PREFIX: Final = "trainyard-"
CHECKPOINT_VOLUME: Final = f"{VOLUME_PREFIX}checkpoint"
HOSTS_VOLUME: Final = f"{VOLUME_PREFIX}hosts"  # mounted by every trainer, and by nothing else
RESERVED_FOLDER: Final = "/etc/trainyard"  # where the hosts ConfigMap is mounted
TRAINER: Final = "trainer"

DEFAULT_PORT: Final = 29500
DEFAULT_GPU_RESOURCE: Final = "nvidia.com/gpu"

MAX_ROLES: Final = 16
MAX_PODS: Final = 10_000
MAX_GPUS_PER_POD: Final = 64
MAX_NAME: Final = 63  # a DNS label: pod names are hostnames too
ATTEMPT_DIGITS: Final = 5
UID_DIGITS: Final = 5
