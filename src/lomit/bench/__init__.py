"""Measurements of speed: functions that return rows, which a command prints."""
