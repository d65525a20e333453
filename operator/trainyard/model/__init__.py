"""Frozen facts: views of cluster objects, the plan and its actions, instants and quantities. Pure; decides nothing."""
