"""A registry, BuildKit, foreign-platform emulation and base images for tests, on one machine.

`decide` says how: with the Docker engine that is already there, or with stand-ins made from Debian packages, which
are unpacked into a folder of their own and leave the machine's package database alone.
"""
