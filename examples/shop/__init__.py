"""A small shop: orders come as events, and each becomes a run that survives whatever happens to the engine."""
