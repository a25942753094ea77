"""Shows people and supervisors the state of the service: page, metrics, log, what is wrong."""
