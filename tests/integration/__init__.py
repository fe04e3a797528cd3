"""Whole runs of build/sluice against real servers; see each file's head."""
