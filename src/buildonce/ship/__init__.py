"""Publishing a release: everything by digest first, tags last and together."""
