"""Running work: the keeper, the worker, process trees, recovery after a crash."""
