"""Runtimes that execute a graph: the decode loop and the adapter that they share."""
