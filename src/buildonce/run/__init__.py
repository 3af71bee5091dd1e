"""From a plan to a release: engines, assembly, publication."""
