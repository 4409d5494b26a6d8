"""Advice about limits without an operator: what is asked about, what is known, what the pipeline says."""
