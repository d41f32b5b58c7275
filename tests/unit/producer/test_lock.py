"""A lock that outlives a fork."""

import threading

from forking import in_child
from learning_machine.lock import Lock


def test_given_a_fork_while_a_lock_is_held_then_the_child_can_take_it() -> None:
    lock = Lock()

    def taken() -> bool:
        with lock.mutex:
            return True

    with lock.mutex:
        assert in_child(taken) == "True"


def test_given_a_lock_that_one_thread_holds_then_another_waits() -> None:
    lock, order = Lock(), []

    def second() -> None:
        with lock.mutex:
            order.append("second")

    thread = threading.Thread(target=second)
    with lock.mutex:
        thread.start()
        order.append("first")
    thread.join()

    assert order == ["first", "second"]
