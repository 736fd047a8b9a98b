"""What `lomit evaluate` does: draws pairs, translates them, measures, and keeps the numbers."""
