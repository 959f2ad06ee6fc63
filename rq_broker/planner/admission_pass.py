"""One admission pass: which waiting jobs are granted capacity, and which wait.

The rules and their order are in the package's docstring.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from msgspec import structs

from rq_broker.domain.holding_times import Prediction, demand_key, size_class
from rq_broker.domain.jobs import Demand
from rq_broker.domain.planning import Grant, Head, Hold, Promise, Snapshot, WaitingShape
from rq_broker.planner import reasons
from rq_broker.planner.alternatives import Choice, OptionStart, earliest, least_exceeded
from rq_broker.planner.blocked import BlockedShape, Option
from rq_broker.planner.capacity_reasons import impossible
from rq_broker.planner.closest_hosts import choose_hosts
from rq_broker.planner.expected_demands import fragmentation_for
from rq_broker.planner.growing import Growth, one_more
from rq_broker.planner.hold_ends import holds_in_order
from rq_broker.planner.owner_usage import ExceededLimit, OwnerUsage
from rq_broker.planner.packing.best_fit import SEARCH_STEPS, hosts_needed, total
from rq_broker.planner.packing.host_table import HostTable, free_without_holds
from rq_broker.planner.packing.host_tables import HostTables
from rq_broker.planner.packing.placer import Placer
from rq_broker.planner.packing.search import StepBudget
from rq_broker.planner.passed_jobs import PassedJobs
from rq_broker.planner.promising import Binding, binding_since, promise_for
from rq_broker.planner.reservations import Reservation, Reservations, care_for, is_wide
from rq_broker.planner.share_leads import ShareLead, ShareLeads
from rq_broker.planner.share_order import ShareOrder
from rq_broker.planner.start_times import StartTime, earliest_start
from rq_broker.planner.steps import Steps
from rq_broker.planner.turns import TurnQueue


class AdmissionPass:
    """The state of one admission pass."""

    def __init__(self, snapshot: Snapshot, tables: HostTables | None = None) -> None:
        """Begin a pass; `tables` are of the snapshot's hosts, where the caller has them already."""
        self._tables = tables or HostTables(snapshot.hosts)
        self.snapshot = snapshot
        self.table = self._tables.begin()
        if self.table.devices:
            self.table.fragmentation = fragmentation_for(snapshot, self.table.weights)
        self.usage = OwnerUsage(snapshot)
        self._holding = dict(snapshot.holding)
        """Array with `at_once` → how many of its jobs hold, the grants of this pass included."""
        self._share_leads = ShareLeads()
        self.passed_jobs = PassedJobs(snapshot.passed, self._is_possible)
        self.grants: list[Grant] = []
        self.blocked: dict[str, BlockedShape] = {}
        """Digest → shape that waits."""
        self.exhausted: set[str] = set()
        """Digests of the shapes whose shown jobs were all granted."""
        self.ended_early = False
        """True if a shape in `exhausted` has more jobs than the snapshot shows."""
        self.reservations = Reservations(self.table)
        self.promises: list[Promise] = []
        """Of the reservations."""
        self.blockers: list[BlockedShape] = []
        """Shapes that keep hosts from later jobs: those with a reservation, or in strict order."""
        self._claimed_hosts = 0
        """Mask of all hosts that a job passed too long may use: no later job reserves there."""
        self._predictions: dict[tuple[str, int], Prediction] = {}
        """Digest, and identity of a placer → how long a job of the shape then holds."""
        self._closed_hosts = 0
        """Mask of the hosts that strict order closed to later jobs."""
        self._search_budget = StepBudget(SEARCH_STEPS)
        self._placers: list[tuple[Placer, ...]] = []
        """Of each shape of the snapshot, one of each of its alternatives; equal demands share."""

    def _make_placers(self) -> Steps[None]:
        by_demand: dict[Demand, Placer] = {}

        def placer_of(demand: Demand) -> Placer:
            placer = by_demand.get(demand)
            if placer is None:
                placer = by_demand[demand] = Placer(self.table, demand)
            return placer

        for waiting in self.snapshot.waiting:
            demand = waiting.shape.demand
            if demand.alternatives:
                self._placers.append(tuple(map(placer_of, demand.options)))
            else:
                self._placers.append((placer_of(demand),))
            yield

    def steps(self, stop_at: str | None = None) -> Steps[None]:
        """Consider the waiting jobs in order, until none is left or a shape has only hidden ones.

        With `stop_at`, a digest, stop as soon as that shape is blocked.
        """
        yield from self._make_placers()
        shapes = self.snapshot.waiting
        failing, closed = self.snapshot.failing, self.snapshot.closed | self.snapshot.behind
        turns = ShareOrder(shapes, self.usage) if self.usage.shares else TurnQueue(shapes)
        while not self.ended_early and stop_at not in self.blocked:
            # 1. Take the job that comes first by priority and ID, or by shares.
            turn = turns.first()
            if turn is None:
                return
            waiting, placers = shapes[turn.shape_number], self._placers[turn.shape_number]
            head, shape = waiting.heads[turn.head_number], waiting.shape
            # 2. Its callback could not be delivered now: its shape waits for the rest of the pass.
            if shape.receiver in closed or shape.destination in failing:
                self._block_for_destination(waiting, placers[0], head)
                turns.drop_shape()
            # 3. As many jobs of its array hold as may: its shape waits.
            elif shape.at_once and self._holding.get(shape.at_once.array, 0) >= shape.at_once.most:
                reason = reasons.over_at_once(shape.at_once)
                self.blocked[waiting.digest] = BlockedShape(waiting, placers[0], head, reason)
                turns.drop_shape()
            # 4. Its owner would exceed a limit, or no hosts have room for the whole job beside the
            #    reservations, in none of its alternatives: its shape waits.
            elif (choice := self._choose(waiting, placers, head)) is None:
                turns.drop_shape()
            # 5. Otherwise grant it, note which waiting jobs it passes, queue the shape's next job.
            else:
                self._grant(waiting, choice, head)
                self.passed_jobs.note_grant(shape.owner, choice[2])
                if not turns.queue_next_of_shape(turn):
                    self._exhaust(waiting)
            yield

    def _choose(
        self, waiting: WaitingShape, placers: tuple[Placer, ...], head: Head
    ) -> Choice | None:
        """Take room for a job, in the first of its alternatives that fits; else block its shape."""
        placer, owner = placers[0], waiting.shape.owner
        exceeded = self.usage.exceeded_limit(owner, placer.total)
        if exceeded is None and (hosts := self._place(waiting, placer)) is not None:
            return 0, placer, hosts
        if len(placers) > 1:
            return self._choose_other(waiting, placers, head, exceeded)
        if exceeded is None:
            self._block_for_room(waiting, placers, head)
        else:
            self._block_for_owner(waiting, placer, exceeded, head)
        return None

    def _choose_other(
        self,
        waiting: WaitingShape,
        placers: tuple[Placer, ...],
        head: Head,
        exceeded: ExceededLimit | None,
    ) -> Choice | None:
        """Do the same where the first alternative does not fit, or would exceed a limit."""
        owner, options = waiting.shape.owner, [Option(placers[0], exceeded)]
        counting = placers[1:] if self.snapshot.now >= head.prefers_until else ()
        for number, placer in enumerate(counting, 1):
            exceeded = self.usage.exceeded_limit(owner, placer.total)
            if exceeded is None and (hosts := self._place(waiting, placer)) is not None:
                return number, placer, hosts
            options.append(Option(placer, exceeded))
        shown = tuple(options)
        without_room = tuple([option.placer for option in shown if option.exceeded is None])
        if without_room:
            self._block_for_room(waiting, without_room, head, shown)
        else:
            placer, exceeded = least_exceeded(shown)
            self._block_for_owner(waiting, placer, exceeded, head, shown)
        return None

    def _block_for_destination(self, waiting: WaitingShape, placer: Placer, head: Head) -> None:
        """Block the shape until its callbacks, or offers to its owner, find somebody."""
        shape, asked_until = waiting.shape, self.snapshot.asked.get(waiting.shape.receiver)
        is_closed = self.snapshot.is_closed(shape)
        tried = self.snapshot.tried.get(shape.receiver, 0.0)
        reason = reasons.of_receiver(shape, asked_until, tried, is_closed=is_closed)
        self.blocked[waiting.digest] = BlockedShape(waiting, placer, head, reason)

    def _block_for_owner(
        self,
        waiting: WaitingShape,
        placer: Placer,
        exceeded: ExceededLimit,
        head: Head,
        shown: tuple[Option, ...] = (),
    ) -> None:
        """Block the shape; for a job passed too long, keep room below its owner's limit.

        `shown`: its options, if it has alternatives.
        """
        owner = waiting.shape.owner
        reason = None if shown else reasons.over_limit(owner, exceeded)
        blocked = BlockedShape(waiting, placer, head, reason, options=shown)
        self.blocked[waiting.digest] = blocked
        if not exceeded.is_for_ever:
            if self._is_overdue(head):
                self.usage.keep_room(owner, placer.total)
            self.passed_jobs.add_waiting_for_owner(head, owner)

    def _place(self, waiting: WaitingShape, placer: Placer) -> list[int] | None:
        """Take room for a job, as far as earlier jobs' reservations leave it."""
        reservations, closed, budget = self.reservations, self._closed_hosts, self._search_budget
        if not reservations.are_on(placer.usable_hosts):
            hosts = placer.place(closed, budget)
            if hosts is not None:
                reservations.took_elsewhere(hosts)
        else:
            is_early = self._ends_in_time(waiting, placer)
            hosts = reservations.place(placer, is_early, closed, budget)
        if hosts is not None and placer.demand.elastic is not None:
            return self._with_more(waiting, placer, hosts)
        return hosts

    def _with_more(self, waiting: WaitingShape, placer: Placer, hosts: list[int]) -> list[int]:
        """Take room for more instances of an elastic job that was given `hosts`, as many as fit."""
        demand, reservations = placer.demand, self.reservations
        assert demand.elastic is not None
        one, owner = Placer(self.table, one_more(demand)), waiting.shape.owner
        kind, more = demand.instances[demand.elastic.index], demand.elastic.more
        most = self.usage.count_within(owner, placer.total, kind, more)
        is_beside = reservations.are_on(one.usable_hosts)
        is_early = is_beside and self._ends_in_time(waiting, placer)
        growth = Growth(one, reservations, is_beside=is_beside, is_early=is_early)
        return growth.grow(placer, hosts, most, self._closed_hosts, self._search_budget)

    def _ends_in_time(self, waiting: WaitingShape, placer: Placer) -> bool:
        """Return whether a job that starts now ends before reservations on its hosts begin."""
        prediction = self.prediction(waiting, placer)
        return self.reservations.let_ahead(placer.usable_hosts, self.snapshot.now, prediction)

    def table_for(self, blocked: BlockedShape) -> HostTable:
        """Return what a blocked job may use of each host, beside reservations made before it."""
        is_first = self.reservations.of(blocked.head) is not None
        if is_first or self._ends_in_time(blocked.waiting, blocked.placer):
            return self.table
        return self.reservations.late_table

    def prediction(self, waiting: WaitingShape, placer: Placer) -> Prediction:
        """Predict how long a job of the shape will hold what it is granted."""
        key = waiting.digest, id(placer)
        prediction = self._predictions.get(key)
        if prediction is None:
            shape, snapshot = waiting.shape, self.snapshot
            prediction = self._predictions[key] = snapshot.history.predict(
                shape.owner,
                demand_key(placer.demand),
                placer.size,
                snapshot.policy.expected(shape.expected),
            )
        return prediction

    def _block_for_room(
        self,
        waiting: WaitingShape,
        placers: tuple[Placer, ...],
        head: Head,
        shown: tuple[Option, ...] = (),
    ) -> None:
        """Block the shape; for a job passed too long, reserve its capacity in time.

        Args:
            placers: of its alternatives that only lack room.
            shown: its options, if it has alternatives.
        """
        blocked = self._without_room(waiting, placers[0], head, shown)
        self.blocked[waiting.digest] = blocked
        if self.snapshot.policy.strict_order:
            possible = [placer for placer in placers if self._is_possible(placer.demand)]
            for placer in possible:
                self._closed_hosts |= placer.usable_hosts
            if possible:
                self.blockers.append(blocked)
        elif self._is_overdue(head):
            possible = [placer for placer in placers if self._is_possible(placer.demand)]
            self._reserve(
                blocked, [p for p in possible if not self._claimed_hosts & p.usable_hosts]
            )
            for placer in possible:
                self._claimed_hosts |= placer.usable_hosts
        for placer in placers:
            self.passed_jobs.add_waiting_for_hosts(head, placer.demand, placer.usable_hosts)

    def _without_room(
        self, waiting: WaitingShape, placer: Placer, head: Head, shown: tuple[Option, ...]
    ) -> BlockedShape:
        closed_hosts = self._closed_hosts
        if not self.usage.shares:
            return BlockedShape(waiting, placer, head, closed_hosts=closed_hosts, options=shown)
        owner = waiting.shape.owner
        lead, share = self._share_leads.before(head, owner), self.usage.share(owner)
        self._share_leads.note(ShareLead(head, placer.demand, owner, share))
        return BlockedShape(waiting, placer, head, None, closed_hosts, share, lead, shown)

    def _is_overdue(self, head: Head) -> bool:
        """Return whether the job was passed for as long as patience allows; always for 0."""
        patience = self.snapshot.policy.patience
        if patience is None:
            return False
        since = self.snapshot.passed.get(head.request_id)
        return patience <= 0 or (since is not None and self.snapshot.now - since >= patience)

    def _is_possible(self, demand: Demand) -> bool:
        """Return whether the hosts might hold the demand if nobody used them."""
        return impossible(self.empty_hosts, demand) is None

    def _reserve(self, blocked: BlockedShape, placers: list[Placer]) -> None:
        """Reserve capacity from the moment on at which the job fits if holds end as expected.

        Of several alternatives, given by their placers, the one that fits first.
        """
        head, snapshot = blocked.head, self.snapshot
        first = earliest(
            OptionStart(start, placer)
            for placer in placers
            if (start := earliest_start(placer, holds_in_order(snapshot, self.grants)))
        )
        if first is None:  # what it lacks is used by others, and nobody knows until when
            return
        start, placer = first
        if placer is not blocked.placer:
            blocked = self.blocked[blocked.waiting.digest] = replace(blocked, placer=placer)
        promise, missed = promise_for(head, start.seconds, snapshot)
        binding = Binding.MOVING
        if missed is not None:
            start = self._on_fixed_hosts(placer, promise, start)
            promise = replace(promise, hosts=self._names(start.needs))
            binding = binding_since(missed, promise.hosts, snapshot.holds)
        passed = snapshot.passed.get(head.request_id)
        empty = self.empty_hosts
        wide = is_wide(placer.total, empty.rows_of(empty.hosts_for(placer.demand)))
        care = care_for(snapshot.now, passed, snapshot.history.mean, wide=wide)
        self.reservations.add(head, start, care, binding)
        self.promises.append(promise)
        self.blockers.append(blocked)
        self.usage.keep_room(blocked.waiting.shape.owner, placer.total)

    def _on_fixed_hosts(self, placer: Placer, promise: Promise, start: StartTime) -> StartTime:
        """Keep the hosts that were kept for the job before, else those of the start time."""
        kept = promise.hosts or self._names(start.needs)
        needs = choose_hosts(placer, self.without_holds(self.table), kept) or start.needs
        return StartTime(start.seconds, needs, {index: self.table.rows[index] for index in needs})

    def awaited_holds(self, made: Reservation) -> list[Hold]:
        """List the holds for whose ends a reservation waits, the earliest first."""
        table = self.table
        short = {
            table.names[index]
            for index, row in made.needs.items()
            if any(table.rows[index].get(resource, 0) < amount for resource, amount in row.items())
        }
        return [
            hold
            for hold in self.snapshot.holds
            if hold.ends <= made.start and not short.isdisjoint(hold.amounts)
        ]

    def _names(self, indexes: Iterable[int]) -> frozenset[str]:
        return frozenset(self.table.names[index] for index in indexes)

    def _grant(self, waiting: WaitingShape, choice: Choice, head: Head) -> None:
        """Propose the grant, and count it for its owner."""
        alternative, placer, hosts = choice
        shape, owner = waiting.shape, waiting.shape.owner
        if self.usage.shares:
            share = self.usage.share(owner)
            self._share_leads.note(ShareLead(head, placer.demand, owner, share))
        names = tuple([self.table.names[index] for index in hosts])
        prediction = self.prediction(waiting, placer)
        devices = tuple(placer.devices) if any(placer.devices) else ()
        grant = Grant(head, shape, names, prediction, placer.size, alternative, devices)
        amounts = placer.total
        if placer.demand.elastic:
            size = size_class(hosts_needed(self.table, grant.demand))
            grant = structs.replace(grant, size=size)
            amounts = total(grant.demand)
        self.grants.append(grant)
        self.usage.add_grant(owner, amounts)
        if shape.at_once is not None:
            array = shape.at_once.array
            self._holding[array] = self._holding.get(array, 0) + 1

    def _exhaust(self, waiting: WaitingShape) -> None:
        """Note that all shown jobs of a shape are granted.

        If it has hidden ones the pass ends: one of them may come before whatever is next.
        """
        self.exhausted.add(waiting.digest)
        self.ended_early = waiting.count > len(waiting.heads)

    @property
    def empty_hosts(self) -> HostTable:
        """The hosts as if nobody used them."""
        return self._tables.empty

    def without_holds(self, table: HostTable) -> HostTable:
        """Return the hosts of a table with what each would have left if every grant ended."""
        hosts = self.snapshot.hosts
        return table.with_rows([free_without_holds(hosts[name]) for name in table.names])
