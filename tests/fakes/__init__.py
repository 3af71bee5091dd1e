"""Stand-ins that we own for what lives outside the process."""
