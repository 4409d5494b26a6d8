"""Heavy forecast models and the worker processes they run in, outside every decision."""
