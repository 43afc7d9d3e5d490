"""What adapters convert models into: one file per format, cached by content hash."""
