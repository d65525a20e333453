"""What the operator's image is made of, where it came from, and what is known to be wrong with it."""
