"""Which pods should leave a kube node before it is short: `plimsoll drain-advice`."""
