"""Stand-ins for services of Azure that have no emulator, and a proxy that makes one worse.

Each is a context manager on a free port of 127.0.0.1. What each is built from, and so how far it
can be trusted, its head says. Blob storage is Azurite, the real emulator (tests/support/servers.py).
"""
