"""What turns decisions into requests: the store, the work queue, the reconciler, the executor and the scheduler's loop.

The executor is the only writer of the whole package. Nothing is decided here: plans come from `planning`, grants from
`scheduling`, manifests from `launch`.
"""
