"""`plimsoll-loadgen`: simulated node agents, to find out what an operator bears."""
