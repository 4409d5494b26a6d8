"""The recommenders that Plimsoll is measured against, one file each."""
