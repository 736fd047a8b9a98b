"""Experiments, command after command from nothing to a table, resumed where they stopped (`lomit reproduce`)."""
