"""What the world outside the broker saw: acknowledged submits, callbacks, who held what when."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field


@dataclass
class Ledger:
    """Kept by clients and receivers alone; at the end it is compared with what Redis has."""

    capacity: int
    """Units that all hosts have together; a job holds one."""
    of_device: int = 0
    """Units that each device has; 0: the hosts have no devices."""
    acknowledged: dict[str, float] = field(default_factory=dict)
    """request_id → when its submit was acknowledged, monotonic."""
    submitted: dict[str, float] = field(default_factory=dict)
    """request_id → when its submit was sent first."""
    answers: Counter[str] = field(default_factory=Counter)
    """Code of an answer, or the class of an error → how many calls ended so."""
    own_duplicates: int = 0
    """Submits sent once, and answered as if another had been first."""
    callbacks: Counter[str] = field(default_factory=Counter)
    """webhook-id → how many callbacks carried it."""
    called_at: dict[str, float] = field(default_factory=dict)
    """request_id → when its newest callback arrived, monotonic."""
    holders: dict[str, str] = field(default_factory=dict)
    """request_id → webhook-id of the grant by which it holds capacity now."""
    ended: dict[str, float] = field(default_factory=dict)
    """request_id → when the broker acknowledged that the job is done, monotonic."""
    devices: dict[str, str] = field(default_factory=dict)
    """request_id → the device of which it holds a unit, where hosts have devices."""
    most_held: int = 0
    most_of_device: int = 0
    double_granted: list[str] = field(default_factory=list)
    """webhook-ids of grants of jobs that still held an earlier grant."""

    def call(self, webhook_id: str, request_id: str, now: float, device: str = "") -> bool:
        """Record a callback; returns whether the receiver holds its capacity for the first time."""
        self.callbacks[webhook_id] += 1
        self.called_at[request_id] = now
        if self.callbacks[webhook_id] > 1:
            return False
        if request_id in self.holders:
            self.double_granted.append(webhook_id)
        self.holders[request_id] = webhook_id
        self.most_held = max(self.most_held, len(self.holders))
        if device:
            self.devices[request_id] = device
            self.most_of_device = max(self.most_of_device, *Counter(self.devices.values()).values())
        return True

    def release(self, request_id: str) -> None:
        """Record that the receiver no longer uses its capacity; it tells the broker afterwards."""
        self.holders.pop(request_id, None)
        self.devices.pop(request_id, None)

    @property
    def repeats(self) -> int:
        """Callbacks that repeated a webhook-id."""
        return sum(self.callbacks.values()) - len(self.callbacks)

    @property
    def oversold(self) -> int:
        """Units held at once beyond what there is, on all hosts or on one device."""
        on_device = self.most_of_device - self.of_device if self.of_device else 0
        return max(0, self.most_held - self.capacity, on_device)
