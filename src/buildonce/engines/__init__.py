"""Build engines: one target of one Dockerfile, for one platform, into an OCI layout."""
