"""The API `plimsoll.dev/v1alpha1`: typed models of the four kinds and what a policy means for a container."""
