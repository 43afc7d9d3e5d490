"""Task quality through lm-eval; importing this package imports no lm-eval."""
