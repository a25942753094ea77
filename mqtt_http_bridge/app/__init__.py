"""The verbs of the command line, put together from the core and the adapters; threads live here."""
