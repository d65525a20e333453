"""Does the engine do what a plan says, exactly once, whatever the API server answers?"""
