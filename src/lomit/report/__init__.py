"""One page of HTML about runs, models and evaluations."""
