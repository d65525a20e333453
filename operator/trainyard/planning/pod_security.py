"""Whether the operator's own pod-security level lets a job's pods be: asked before an attempt opens, not later."""

from __future__ import annotations

from trainyard.api.reasons import Reason
from trainyard.launch import render_probe_pod
from trainyard.launch.pod_security import PodSecurity, violations
from trainyard.planning.situation import Situation

SHOWN = 3


def beyond_level(now: Situation) -> tuple[Reason, str] | None:
    """The first role whose pods break the level's rules, with what they break; None where the level lets all be."""
    level = now.launch.pod_security
    if now.spec is None or level in (PodSecurity.NAMESPACE, PodSecurity.PRIVILEGED):
        return None
    for role in now.spec.roles:
        found = violations(render_probe_pod(now.job, role.name, now.launch), level)
        if found:
            more = f" (and {len(found) - SHOWN} more)" if len(found) > SHOWN else ""
            text = (
                f"role {role.name}'s pods go beyond pod security {level}, the most that this operator's setting "
                f"pod-security allows: {'; '.join(found[:SHOWN])}{more}. Suspend the job, mend its template, resume it"
            )
            return Reason.POD_SECURITY, text
    return None
