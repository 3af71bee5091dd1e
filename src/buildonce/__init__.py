"""Compile once per platform, ship every image variant."""

__version__ = "0.1.0.dev0"
