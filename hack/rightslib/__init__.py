"""Which rights the operator has, by its roles, and which it used or lacked, by the API server's audit log."""
