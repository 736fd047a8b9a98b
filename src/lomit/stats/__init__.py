"""Numbers: intervals over people, and shares with theirs."""
