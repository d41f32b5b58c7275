"""The suite finds what it is there to find: stores, and a system, that break one rule each."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import count
from typing import Any

import pytest

from conformance.test_stores import TestDecisionLog as Sound
from decision_log import DecisionLogStore
from learning_machine import CustomStoreConfig, Operations, Put
from learning_ops.addresses import Addresses
from learning_ops.conformance.scene import Scene
from learning_stores import learning_rows, rendering
from learning_stores.grounding import storable
from learning_stores.store import Grounds
from learning_workers import extraction

Make = Callable[..., Scene]


class Changed(DecisionLogStore):
    """The cookbook's store with its statements changed."""

    def __init__(self, change: Callable[[Put], Put]) -> None:
        self._change = change

    def operations(self, *given: Any) -> Operations:
        made = super().operations(*given)
        return replace(made, kept=tuple(self._change(each) for each in made.kept if isinstance(each, Put)))


@pytest.fixture
def broken(place: Any) -> Iterator[Make]:
    """A scene of the cookbook's store with its statements changed by a function."""
    made: list[Scene] = []

    def make(change: Callable[[Put], Put] = lambda put: put) -> Scene:
        store = Changed(change)
        config = CustomStoreConfig(store=store, debounce=0, enable_agent_tools=True)
        case = replace(Sound.case, store=store, machine={"stores": [config]})
        made.append(Scene(case, addresses(place)))
        return made[-1]

    yield make
    for scene in made:
        scene.close()


def addresses(place: Any) -> Addresses:
    return Addresses(
        database_url=place.app_url,
        dispatcher_database_url=place.dispatcher_url,
        owner_database_url=place.owner_url,
        redis_url=place.redis_url,
    )


def test_given_a_sound_store_when_changed_in_nothing_then_the_suite_finds_nothing(broken: Make) -> None:
    Sound().test_given_words_when_extracted_then_each_learning_has_evidence_to_message_and_quote(broken())


def test_given_a_store_that_states_another_thing_each_time_when_tested_then_applying_again_shows_it(
    broken: Make,
) -> None:
    numbers = count()
    scene = broken(lambda put: replace(put, content=f"{put.content} ({next(numbers)})"))
    with pytest.raises(AssertionError):
        Sound().test_given_a_window_when_it_is_applied_again_then_no_row_changes_but_evidence(scene)


def test_given_a_store_that_replaces_nothing_when_tested_then_the_contradiction_shows_it(broken: Make) -> None:
    with pytest.raises(AssertionError, match="nothing was retired"):
        Sound().test_given_a_contradiction_when_extracted_then_the_old_row_ends_and_one_is_live(
            broken(lambda put: replace(put, replaces=None))
        )


def test_given_a_store_that_makes_up_its_quotes_when_tested_then_the_evidence_shows_it(broken: Make) -> None:
    def invented(put: Put) -> Put:
        return replace(put, citations=tuple(replace(each, quote="so it is said") for each in put.citations))

    with pytest.raises(AssertionError):
        Sound().test_given_words_when_extracted_then_each_learning_has_evidence_to_message_and_quote(broken(invented))


def test_given_a_store_whose_writers_overwrite_each_other_when_tested_then_twenty_writers_show_it(
    broken: Make,
) -> None:
    scene = broken(lambda put: replace(put, content_key="the one key"))
    with pytest.raises(AssertionError):
        Sound().test_given_twenty_writers_in_processes_of_their_own_when_all_write_at_once_then_all_is_kept(scene)


def test_given_a_store_that_takes_answers_as_they_are_when_tested_then_nul_shows_it(
    broken: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert storable("a\x00b") == "ab"
    monkeypatch.setattr(Grounds, "content", lambda _, text: text)
    with pytest.raises(AssertionError):
        Sound().test_given_an_answer_with_nul_when_extracted_then_it_is_stored_without(broken())


def test_given_workers_that_do_not_try_a_commit_again_when_tested_then_the_deadlock_shows_it(
    place: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(extraction, "COMMIT_TRIES", 1)
    with pytest.raises(Exception, match="DeadlockDetected"):
        Sound().test_given_a_deadlock_when_a_commit_loses_it_then_the_same_patch_is_applied_without_asking_the_model_again(
            addresses(place)
        )


def test_given_rows_that_name_no_successor_when_tested_then_the_contradiction_shows_it(
    broken: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    retire = learning_rows.retire
    monkeypatch.setattr(learning_rows, "retire", lambda *given: retire(*given[:-1], None))
    with pytest.raises((AssertionError, KeyError)):
        Sound().test_given_a_contradiction_when_extracted_then_the_old_row_ends_and_one_is_live(broken())


def test_given_a_rendering_that_shows_rows_as_they_are_when_tested_then_the_hostile_words_show_it(
    broken: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rendering, "defused", lambda text: text)
    with pytest.raises(AssertionError):
        Sound().test_given_stored_words_that_would_break_out_when_recalled_then_there_is_one_block_within_its_bounds(
            broken()
        )
