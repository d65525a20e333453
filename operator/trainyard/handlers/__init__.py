"""kopf's part: the life of the process, and a nudge for every event of a TrainingJob. It decides nothing."""
