"""Receiver tests: messages that operators have sent to see whether a receiver answers."""

from __future__ import annotations

from rq_broker.domain.deliveries import ClaimedTest, ReceiverTest
from rq_broker.domain.errors import ReceiverTestNotFound
from rq_broker.store import records
from rq_broker.store.keys import Keys
from rq_broker.store.runner import Runner


class ReceiverTests:
    """send_test, receiver_test; what notifiers do with them: claim_tests, settle_test."""

    def __init__(self, runner: Runner) -> None:
        self._runner = runner

    async def send_test(
        self, type_: str, test: str, callback: str, destination: str, owner: str = ""
    ) -> ReceiverTest:
        """Ask the notifiers of a type to send one test message; again, and it is not sent again.

        Args:
            type_: The type.
            test: Its name.
            callback: Where it goes.
            destination: scheme://host:port of that.
            owner: Whose keys it is signed with; '' for those of every owner.

        Returns:
            The test as it is now.

        Raises:
            TooManyReceiverTests: So many wait for a notifier that no more are taken.
        """
        await self._runner.run(
            "send_test",
            type_,
            test=test,
            callback=callback,
            destination=destination,
            owner=owner,
        )
        return await self.receiver_test(type_, test)

    async def receiver_test(self, type_: str, test: str) -> ReceiverTest:
        """Read a test. Raises ReceiverTestNotFound, also a minute after its outcome."""
        name = Keys(type_).of("test", test)
        fields = records.pairs(await self._runner.command("HGETALL", name))
        if "destination" not in fields:
            raise ReceiverTestNotFound(f"there is no test {test!r} in this type, or no more")
        took = fields.get("milliseconds")
        return ReceiverTest(
            test,
            fields["destination"],
            fields.get("owner", ""),
            is_sent="sent" in fields,
            cause=fields.get("cause"),
            milliseconds=None if took is None else int(took),
        )

    async def claim_tests(self, type_: str, limit: int) -> list[ClaimedTest]:
        """Take the tests that wait, at most `limit`: each is sent once, or lost."""
        reply = await self._runner.run("claim_tests", type_, limit=limit)
        return [
            ClaimedTest(row.test, row.callback, row.owner, tuple(row.signing_keys.split()))
            for row in reply.tests
        ]

    async def settle_test(self, type_: str, test: str, cause: str, milliseconds: int) -> None:
        """Record how a test went; as in `settle`."""
        await self._runner.run(
            "settle_test", type_, test=test, cause=cause, milliseconds=milliseconds
        )
