"""What a project declares: its variants, and what is common to them, whatever file says so."""
