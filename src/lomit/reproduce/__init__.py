"""Recipes: command after command from nothing to a table, taken up where they were stopped (`lomit reproduce`)."""
