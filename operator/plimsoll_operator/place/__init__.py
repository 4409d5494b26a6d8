"""Where new pods go, by forecast: what is on each node, what a pod needs, a hint to the scheduler."""
