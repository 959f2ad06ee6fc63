"""The broker: one async method a verb, one Lua script a method, any number of processes at once.

Every method raises the classes of domain/errors/ and no others. The verbs are methods of the
parts below; Broker binds them, so that callers write `broker.submit(...)`.
"""

from __future__ import annotations

from functools import partial

from redis.asyncio import Redis, RedisCluster

from rq_broker.store.arrays import Arrays
from rq_broker.store.audit_log import AuditLog
from rq_broker.store.capacity import Capacity
from rq_broker.store.claims import FreeSlots
from rq_broker.store.continuity import Continuity
from rq_broker.store.deliveries import Deliveries, Settlement
from rq_broker.store.encryption import KeyCipher
from rq_broker.store.event_hub import EventHub
from rq_broker.store.figures import read_figures
from rq_broker.store.fitness import memory
from rq_broker.store.forecasts import Forecasts
from rq_broker.store.grants import Grants, Heads, TypeState
from rq_broker.store.holds import ChangedHolds, EndedHolds, Holds, RunningHold
from rq_broker.store.jobs import Cursor, Jobs, Page
from rq_broker.store.locks import Locks
from rq_broker.store.notifiers import NotifierReport, Notifiers
from rq_broker.store.rates import Rates
from rq_broker.store.receiver_tests import ReceiverTests
from rq_broker.store.registry import Registry
from rq_broker.store.reorders import Moved, Reorders
from rq_broker.store.repair import Repair
from rq_broker.store.reports import NewEvents, ReportHead, Reports
from rq_broker.store.runner import Runner
from rq_broker.store.sessions import Sessions
from rq_broker.store.shapes import Shapes
from rq_broker.store.sources import SourceReport, Sources, WatchStarted
from rq_broker.store.submits import Submits
from rq_broker.store.tokens import Tokens
from rq_broker.store.wakes import Due, Marker, Wake, Wakes

__all__ = [
    "Broker",
    "ChangedHolds",
    "Cursor",
    "Due",
    "EndedHolds",
    "FreeSlots",
    "Heads",
    "Marker",
    "Moved",
    "NewEvents",
    "NotifierReport",
    "Page",
    "ReportHead",
    "RunningHold",
    "Settlement",
    "SourceReport",
    "TypeState",
    "Wake",
    "WatchStarted",
]


class Broker:
    """All verbs on all types, over one Redis client."""

    def __init__(
        self,
        client: Redis | RedisCluster,
        *,
        min_replicas_acked: int = 0,
        most_types: int | None = None,
        cipher: KeyCipher | None = None,
    ) -> None:
        """Take the client.

        Args:
            client: Of the Redis that keeps the state.
            min_replicas_acked: How many replicas must have a write before its call returns. A call
                that fewer acknowledge in time raises NotReplicated; it was carried out.
            most_types: The most types that may be made; None: any number.
            cipher: Encrypts signing keys; None: they are stored as they are.
        """
        self.runner = runner = Runner(client, min_replicas_acked=min_replicas_acked)
        registry = Registry(runner, most_types)
        self._continuity = continuity = Continuity(runner, registry)
        self.jobs = jobs = Jobs(runner)
        shapes = Shapes(runner)
        grants = Grants(runner, shapes, continuity)
        self.audit_log = AuditLog(runner).audit_log
        self.events = EventHub(runner)
        self._bind_server(runner)
        self._bind_continuity(continuity)
        submits = Submits(runner, registry, continuity)
        self.submit, self.submit_many = submits.submit, submits.submit_many
        self._bind_jobs(jobs)
        reorders = Reorders(runner, jobs)
        self.reorder = reorders.reorder
        self._bind_arrays(Arrays(runner, registry, continuity, jobs, reorders))
        self._bind_capacity(Capacity(runner, registry, grants))
        self._bind_grants(grants)
        self._bind_holds(Holds(runner))
        self._bind_forecasts(Forecasts(runner, shapes))
        self._bind_reports(Reports(runner))
        self._bind_deliveries(Deliveries(runner, jobs, registry, cipher or KeyCipher()))
        self._bind_receiver_tests(ReceiverTests(runner))
        self._bind_sources(Sources(runner, registry))
        self._bind_tokens(Tokens(runner))
        self._bind_sessions(Sessions(runner))
        self._bind_notifiers(Notifiers(runner), Wakes(runner), registry)

    async def aclose(self) -> None:
        """Close the connections."""
        await self.events.aclose()
        self._continuity.close()
        await self.runner.aclose()

    def _bind_server(self, runner: Runner) -> None:
        """What every process needs."""
        self.ping = runner.ping
        self.allow = Rates(runner).allow
        self.now = runner.clocks.now
        self.clock_steps = runner.clocks.steps
        self.memory = partial(memory, runner)

    def _bind_continuity(self, continuity: Continuity) -> None:
        """What notices that Redis lost state, and mends what can be."""
        self.losses = continuity.losses
        self.acknowledge_losses = continuity.acknowledge_losses
        self.notice_losses = continuity.look
        self.learn = continuity.learn
        self.repair = Repair(self.runner).repair

    def _bind_jobs(self, jobs: Jobs) -> None:
        """What clients do with jobs."""
        self.read = jobs.read
        self.page = jobs.page
        self.called_at = jobs.called_at
        self.line_ends = jobs.line_ends
        self.transition = jobs.transition
        self.set_expected = jobs.set_expected
        self.withdraw = jobs.withdraw

    def _bind_arrays(self, arrays: Arrays) -> None:
        """What clients do with arrays of jobs, and what the granter reads of them."""
        self.submit_array = arrays.submit_array
        self.read_array = arrays.read_array
        self.page_array = arrays.page_array
        self.names_of_array = arrays.names_of_array
        self.reorder_array = arrays.reorder_array
        self.reorder_own_array = arrays.reorder_own_array
        self.withdraw_array = arrays.withdraw_array
        self.holding = arrays.holding

    def _bind_capacity(self, capacity: Capacity) -> None:
        """What operators do with types, policies and hosts."""
        self.types = capacity.types
        self.names = capacity.names
        self.counts = capacity.counts
        self.policy = capacity.policy
        self.set_policy = capacity.set_policy
        self.patch_policy = capacity.patch_policy
        self.set_host = capacity.set_host
        self.patch_host = capacity.patch_host
        self.check_devices = capacity.check_devices
        self.drop_host = capacity.drop_host
        self.hosts = capacity.hosts
        self.has_hosts = capacity.has_hosts
        self.host = capacity.host

    def _bind_grants(self, grants: Grants) -> None:
        """What the granter does, and what its explanations read."""
        self.turn = Locks(self.runner).turn
        self.type_state = grants.type_state
        self.heads = grants.heads
        self.has_waiting = grants.has_waiting
        self.note = grants.note
        self.grant = grants.grant
        self.grant_many = grants.grant_many
        self.callbacks_are_late = grants.callbacks_are_late
        self.shape_of = grants.shape_of
        self.shape_rank = grants.shape_rank
        self.index_in_shape = grants.index_in_shape
        self.place_at = grants.place_at

    def _bind_holds(self, holds: Holds) -> None:
        """What predictions are made of and learned from."""
        self.running_holds = holds.running_holds
        self.changed_holds = holds.changed_holds
        self.job_hold = holds.job_hold
        self.holding_times = holds.holding_times

    def _bind_forecasts(self, forecasts: Forecasts) -> None:
        """What forecasts read and keep."""
        self.line = forecasts.line
        self.shape = forecasts.shape
        self.forecast = forecasts.forecast
        self.figures = partial(read_figures, self.runner)

    def _bind_reports(self, reports: Reports) -> None:
        """What reports are counted in, and read from."""
        self.report_state = reports.report_state
        self.report_events = reports.report_events
        self.roll_up = reports.roll_up
        self.report_steps = reports.report_steps
        self.waiting_since = reports.waiting_since

    def _bind_deliveries(self, deliveries: Deliveries) -> None:
        """What the courier and the janitor do; destinations and signing keys."""
        self.claim = deliveries.claim
        self.settle = deliveries.settle
        self.sweep = deliveries.sweep
        self.attempts = deliveries.attempts
        self.destinations = deliveries.destinations
        self.reset = deliveries.reset
        self.requeue = deliveries.requeue
        self.set_keys = deliveries.set_keys
        self.keys = deliveries.keys
        self.encrypt_keys = deliveries.encrypt_keys
        self.decrypt_keys = deliveries.decrypt_keys

    def _bind_receiver_tests(self, tests: ReceiverTests) -> None:
        """What operators send to a receiver, and what notifiers do with it."""
        self.send_test = tests.send_test
        self.receiver_test = tests.receiver_test
        self.claim_tests = tests.claim_tests
        self.settle_test = tests.settle_test

    def _bind_sources(self, sources: Sources) -> None:
        """What the poller of sources does."""
        self.watch = sources.watch
        self.apply = sources.apply
        self.fail = sources.fail
        self.sources = sources.sources
        self.forget_source = sources.forget_source

    def _bind_tokens(self, tokens: Tokens) -> None:
        """What admins do with tokens, and what proves them."""
        self.create_token = tokens.create_token
        self.rotate_token = tokens.rotate_token
        self.revoke_token = tokens.revoke_token
        self.token = tokens.token
        self.tokens = tokens.tokens

    def _bind_sessions(self, sessions: Sessions) -> None:
        """What people who sign in do with sessions."""
        self.create_session = sessions.create_session
        self.session = sessions.session
        self.use_session = sessions.use_session
        self.end_session = sessions.end_session

    def _bind_notifiers(self, notifiers: Notifiers, wakes: Wakes, registry: Registry) -> None:
        """How notifiers know of each other, others of them, and they of types with work."""
        self.listen = wakes.listen
        self.beat = wakes.beat
        self.hand_over = wakes.hand_over
        self.has_marker = wakes.has_marker
        self.due = wakes.due
        self.type_exists = registry.exists
        self.list_type = registry.list_type
        self.forget_type = registry.forget_type
        self.drop_type = registry.drop_type
        self.report_notifier = notifiers.report_notifier
        self.retire_notifier = notifiers.retire_notifier
        self.notifiers = notifiers.notifiers
