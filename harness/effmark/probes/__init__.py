"""Instruments, read around and during a window; each says what it sees and what it cannot."""
