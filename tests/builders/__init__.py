"""Builders of facts, shared by all levels of tests.

`make_job("gpt").workers(8, gpus=8).opened().running().failed(rank=3).snapshot()`
"""

from builders.job import NOW, JobBuilder, make_job
from builders.pods import make_node, make_pod

__all__ = ["NOW", "JobBuilder", "make_job", "make_node", "make_pod"]
