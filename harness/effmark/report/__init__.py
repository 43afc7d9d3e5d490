"""Rows to text: one renderer per file; nothing here computes a number."""
