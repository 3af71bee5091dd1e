"""Where results live: an OCI image layout on disk, or a registry, behind one small interface."""
