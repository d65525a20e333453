"""A real Kubernetes on one machine, without a container engine.

Standard library only: it has to run before any virtual environment exists. It knows nothing of the operator
but the folder its image is made of.
"""
