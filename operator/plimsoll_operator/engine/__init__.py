"""The worker process that fetches usage, owns the history, forecasts and recommends."""
