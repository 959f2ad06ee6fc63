--- Receiver tests: one message to a receiver, which an operator asked for. `tests` lists those that no notifier has
--- taken; `test:<name>` is a test, and later its outcome. Both expire by themselves, so nothing has to clean up.

local TEST_MS = 60000 -- an attempt has to end within, and its outcome to be read
