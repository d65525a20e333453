"""The one status write of a pass: with its precondition, answered into the store, told of only after the commit."""

from __future__ import annotations

from trainyard.engine.guards import nothing_live, pod_absent
from trainyard.engine.hands import Hands, Outcome, Pass, is_lost, refresh_job
from trainyard.kube.errors import Conflict, NotFound, ServerError, Unreachable
from trainyard.kube.resources import TRAINING_JOBS
from trainyard.model.plan import WriteStatus
from trainyard.model.status import parse_status, render_status
from trainyard.model.translate import job_view


async def write_status(hands: Hands, step: Pass, write: WriteStatus) -> Outcome:
    """W5: what the plan was made from must still be what is stored. A lost answer is read back."""
    job = step.job
    held = hands.store.jobs.get(job.key)
    if held is None or held.resource_version != job.resource_version:
        return Outcome.MOOT
    if write.status == job.status:
        return Outcome.DONE
    if write.require_no_live_pods and not await nothing_live(hands, step, dead=frozenset(write.dead), strangers=False):
        return Outcome.BLOCKED
    if write.absent_pod and not await pod_absent(hands, step, write.absent_pod):
        return Outcome.BLOCKED
    try:
        raw = await hands.client.patch_status(
            TRAINING_JOBS,
            job.name,
            render_status(write.status),
            job.namespace,
            resource_version=job.resource_version,
        )
    except Conflict:
        hands.telemetry.status_write("conflict")
        await refresh_job(hands, job.key)
        return Outcome.MOOT
    except NotFound:
        return Outcome.BLOCKED  # absent, which is not yet gone: its deletion is for the watch to tell
    except (ServerError, Unreachable) as error:
        if not is_lost(error):
            hands.telemetry.status_write("failed")
            raise
        hands.telemetry.status_write("lost")
        step.log.warning("the answer to a status write was lost, reading back", error=str(error))
        found = await refresh_job(hands, job.key)
        if found is not None and found.uid == job.uid and found.status == parse_status(render_status(write.status)):
            hands.telemetry.committed(job, write.status, hands.client.clock.now())
            step.committed = True
        return Outcome.MOOT
    hands.store.upsert_job(job_view(raw, job), notify=False)
    step.committed = True
    step.log.info(
        write.why,
        phase=write.status.phase.value,
        reason=write.status.reason.value if write.status.reason else None,
        to_attempt=write.status.attempt if write.status.attempt != job.status.attempt else None,
    )
    hands.telemetry.status_write("written")
    hands.telemetry.committed(job, write.status, hands.client.clock.now())
    return Outcome.DONE
