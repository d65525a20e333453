"""Across jobs: which waiting gang may open its next attempt now, and on which nodes.

One pure function, `schedule`: a snapshot of the cluster and the requests in, grants and refusals out. It reads no
clock, keeps no memory between rounds and writes nothing; whoever calls it reserves the grants and commits or drops
them.
"""

from trainyard.scheduling.scheduler import schedule

__all__ = ["schedule"]
