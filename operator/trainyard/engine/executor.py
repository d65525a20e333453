"""The only writer: performs the steps of a plan in their order, and none after the first that does not end well.

It decides nothing. Each step checks its own precondition against what is known by now; a step that finds the plan out
of date says so, and the job is planned again.
"""

from __future__ import annotations

from typing import assert_never

from trainyard.engine import children_step, pod_steps
from trainyard.engine.events import Events
from trainyard.engine.guards import job_gone
from trainyard.engine.hands import Hands, Outcome, Pass
from trainyard.engine.probe_step import probe_roles
from trainyard.engine.status_step import write_status
from trainyard.model.plan import (
    ConfirmJobGone,
    ConfirmRecord,
    CreateClaim,
    CreateHosts,
    CreatePods,
    CreateRecord,
    CreateService,
    DeleteHosts,
    DeleteJob,
    DeletePods,
    DeleteRecord,
    Plan,
    ProbeRoles,
    Step,
    WriteStatus,
)


class Executor:
    """Performs plans; safe to be used by many workers, each on a job of its own."""

    def __init__(self, hands: Hands, events: Events) -> None:
        self._hands = hands
        self._events = events

    async def perform(self, plan: Plan, step: Pass) -> Outcome:
        """DONE if every step was. Raises what the API server's refusal or silence raised."""
        outcome = Outcome.DONE
        for action in plan.steps:
            kind = type(action).__name__
            try:
                outcome = await self._do(action, step)
            except Exception:
                self._hands.telemetry.step(kind, "failed")
                raise
            self._hands.telemetry.step(kind, outcome.value)
            if outcome is not Outcome.DONE:
                break
        self._tell(plan, step, outcome)
        return outcome

    def _tell(self, plan: Plan, step: Pass, outcome: Outcome) -> None:
        """W6: events only after what they speak of was committed."""
        writes = any(isinstance(action, WriteStatus) for action in plan.steps)
        if step.snapshot.job is not None and (step.committed if writes else outcome is Outcome.DONE):
            for event in plan.events:
                self._events.note(step.snapshot.job, event)

    async def _do(self, action: Step, step: Pass) -> Outcome:
        match action:
            case WriteStatus():
                return await write_status(self._hands, step, action)
            case CreatePods():
                return await pod_steps.create_pods(self._hands, step, action)
            case DeletePods():
                return await pod_steps.delete_pods(self._hands, step, action)
            case ConfirmJobGone():
                return await job_gone(self._hands, step, action)
            case ProbeRoles():
                return await probe_roles(self._hands, step)
            case _:
                return await self._child(action, step)

    async def _child(
        self,
        action: CreateRecord
        | CreateHosts
        | CreateService
        | CreateClaim
        | DeleteHosts
        | DeleteRecord
        | DeleteJob
        | ConfirmRecord,
        step: Pass,
    ) -> Outcome:
        hands = self._hands
        match action:
            case CreateRecord():
                return await children_step.create_record(hands, step, action)
            case CreateHosts():
                return await children_step.create_hosts(hands, step, action)
            case CreateService():
                return await children_step.create_service(hands, step)
            case CreateClaim():
                return await children_step.create_claim(hands, step)
            case DeleteHosts():
                return await children_step.delete_hosts(hands, step, action)
            case DeleteRecord():
                return await children_step.delete_record(hands, step, action)
            case DeleteJob():
                return await children_step.delete_job(hands, step, action)
            case ConfirmRecord():
                return await children_step.confirm_record(hands, step, action)
            case _:
                assert_never(action)
