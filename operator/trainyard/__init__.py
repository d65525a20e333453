"""Trainyard: a Kubernetes operator for large-scale training jobs."""
