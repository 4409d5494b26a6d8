"""`plimsoll plan`: how many kube nodes would do, over recorded or live data."""
