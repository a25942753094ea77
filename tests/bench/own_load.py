"""A load of one's own: a recording or synthetic chargers, at a rate or flat out."""

from tests.bench import idle, loads, through_broker
from tests.bench.loads import Load
from tests.bench.plan import Plan
from tests.bench.results import Results
from tests.bench.traffic import portal_ids


def own_load(plan: Plan) -> Results:
    """Measures what the consumers make of it: flat out, unless it has a rate."""
    load = _load(plan)
    if plan.rate_per_s is None:
        count = plan.pick(100_000, 30_000)
        return through_broker.cost_of([load], count, plan.pick(5, 1), plan.against)
    evenly = load.evenly(plan.rate_per_s)
    return idle.share_of([evenly], 2, plan.pick(3, 1), plan.pick(60.0, 30.0), plan.against)


def _load(plan: Plan) -> Load:
    if plan.recording is not None:
        return loads.recording(plan.recording, portal_ids(1)[0])
    return loads.synthetic(portal_ids(1), plan.chargers or 1)
