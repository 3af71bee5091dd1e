"""Many machines: the jobs of a plan, and what a CI provider is told of them."""
