"""What a role's pods really ask for, and where they may stand, by a dry run: defaults, overhead and webhooks included,
refusals too."""

from __future__ import annotations

import asyncio
from dataclasses import replace

from trainyard.api.effective import effective_roles
from trainyard.engine.hands import Hands, Outcome, Pass, keeps_out
from trainyard.kube.client import Object
from trainyard.kube.errors import ApiError, Forbidden
from trainyard.kube.resources import PODS
from trainyard.model.plan import ProbeResult
from trainyard.model.podspec import placing, pod_resources
from trainyard.model.views import JobView, Placing, Resources


async def probe_roles(hands: Hands, step: Pass) -> Outcome:
    """All roles at once; the first refusal in the order of the roles is the one told."""
    job = step.job
    if job.spec is None:
        return Outcome.MOOT
    names = [role.name for role in effective_roles(job.spec)]
    answers = await asyncio.gather(*(_probe(hands, job, name) for name in names))
    told: dict[str, Resources] = {}
    where: dict[str, Placing] = {}
    classes: set[str | None] = set()
    estimated = False
    refused: tuple[str, ApiError] | None = None
    for name, answer in zip(names, answers, strict=True):
        if not isinstance(answer, ApiError):
            told[name], where[name] = pod_resources(answer), placing(answer)
            classes.add(answer.get("priorityClassName") or "")
        elif _is_unserved(answer):
            told[name] = hands.manifests.estimate(job, name)
            estimated = True
        elif isinstance(answer, Forbidden) and answer.quota_exceeded:
            # One more pod is too many at this moment; whether the gang fits is for the scheduler to judge.
            told[name] = hands.manifests.estimate(job, name)
        elif refused is None:
            refused = name, answer
    result = ProbeResult(
        job.spec_hash,
        job.status.attempt,
        told,
        where,
        classes.pop() if len(classes) == 1 else None,
        at=hands.client.clock.now(),
        estimated=estimated,
    )
    if refused is not None:
        role, error = refused
        result = replace(result, refused_role=role, refused_code=error.status, refused_message=error.message)
        step.log.warning("a dry run is refused", role=role, code=error.status, error=error.message)
    hands.store.memory.of(job.uid).probe = result
    return Outcome.DONE


async def _probe(hands: Hands, job: JobView, role: str) -> Object | ApiError:
    """The pod's spec as it would be stored."""
    try:
        answer = await hands.client.create(PODS, hands.manifests.probe(job, role), dry_run=True)
    except ApiError as error:
        if keeps_out(error):
            return error
        raise
    spec: Object = answer["spec"]
    return spec


def _is_unserved(error: ApiError) -> bool:
    """A webhook on the way does not take part in dry runs."""
    return error.status == 400 and "dry run" in error.message.lower()
