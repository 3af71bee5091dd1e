"""Plans, events and outcomes as text and JSON; every renderer consumes the same values."""
