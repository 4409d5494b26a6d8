"""Leak detection: which rows only ever grow, how fast, and when they die of it."""
