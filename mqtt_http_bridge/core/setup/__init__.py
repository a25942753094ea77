"""Decides what `setup` asks and does next. Does nothing itself."""
