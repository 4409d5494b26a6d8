"""Where a pod goes: forecasts of what runs on each kube node, added up with their coincidences kept."""
