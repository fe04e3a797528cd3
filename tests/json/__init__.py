"""lib/json against other implementations."""
