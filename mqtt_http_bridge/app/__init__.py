"""The verbs of the command line, built from the core and the adapters; all threads are here."""
