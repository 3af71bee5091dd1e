"""Why something is built again: differences between two accounts, and the causes behind them. Pure."""
