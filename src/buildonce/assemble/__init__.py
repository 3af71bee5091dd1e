"""Images put together from a base and late copies, without a build engine."""
