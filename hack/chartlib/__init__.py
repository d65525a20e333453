"""What is made from the Helm chart: README, schema of values, install manifest. `hack/manifests` is the door."""
