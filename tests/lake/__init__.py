"""Delta tables through the eyes of foreign readers; see readers.py."""
