"""From a job and a record to the manifests of its children, and what each framework's trainers find set up. Pure."""

from trainyard.launch.claims import checkpoint_directory, claim_created, claim_name
from trainyard.launch.objects import render_claim, render_hosts, render_record, render_service
from trainyard.launch.pods import render_pod, render_pods
from trainyard.launch.requests import draft_record, overridden, render_probe_pod, role_request, template_resources
from trainyard.launch.settings import LaunchSettings

__all__ = [
    "LaunchSettings",
    "checkpoint_directory",
    "claim_created",
    "claim_name",
    "draft_record",
    "overridden",
    "render_claim",
    "render_hosts",
    "render_pod",
    "render_pods",
    "render_probe_pod",
    "render_record",
    "render_service",
    "role_request",
    "template_resources",
]
