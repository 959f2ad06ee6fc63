"""For programs that receive callbacks: is it from the broker, is it new, and what does it say?

`verify` checks one message. `rq_broker.receiver.starlette`, `.flask` and `.django` make an endpoint
of a function that takes an event. Needs the standard library, and the framework if there is one.
"""

from rq_broker.receiver.events import Event, Granted
from rq_broker.receiver.inbox import NotWanted
from rq_broker.receiver.refusals import NotAnEvent, NotVerified, Refused, TooLarge
from rq_broker.receiver.repeats import InMemory, Repeats
from rq_broker.receiver.verifying import TOLERANCE, UNSIGNED, verify

__all__ = [
    "TOLERANCE",
    "UNSIGNED",
    "Event",
    "Granted",
    "InMemory",
    "NotAnEvent",
    "NotVerified",
    "NotWanted",
    "Refused",
    "Repeats",
    "TooLarge",
    "verify",
]
