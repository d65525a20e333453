"""What the suites against real clusters share."""
