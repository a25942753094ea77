"""Tells people and supervisors how things stand: page, metrics, log, and what is wrong."""
