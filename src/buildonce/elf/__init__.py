"""Programs and libraries as values: what an ELF file or a script asks of the system that it is run on."""
