"""The Dockerfile front end: reading, stages, variables, ignore rules and rewriting, as in BuildKit; no I/O."""
