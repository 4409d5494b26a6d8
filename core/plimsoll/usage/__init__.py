"""Samples in, history out: what every container used, and when it was killed for memory."""
