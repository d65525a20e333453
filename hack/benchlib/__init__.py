"""What the operator costs and how fast it is, against a bare load generator on the same cluster (`hack/bench`)."""
