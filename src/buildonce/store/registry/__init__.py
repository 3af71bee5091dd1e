"""A container registry as a store: the protocol as pure exchanges, and one transport."""

from buildonce.store.registry.session import RegistryOptions, RegistrySession, options_from_environment
from buildonce.store.registry.store import RegistryStore

__all__ = ["RegistryOptions", "RegistrySession", "RegistryStore", "options_from_environment"]
