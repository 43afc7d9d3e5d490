"""Built-in suites, models, texts and tasks: data only."""
