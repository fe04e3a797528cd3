"""The tests' Python packages: support (servers), lake (foreign readers), oracle (the answer)."""
