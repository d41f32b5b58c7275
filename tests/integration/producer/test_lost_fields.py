"""A field that the schema lost keeps its data readable, and is reported."""

from dataclasses import dataclass
from typing import Any

from learning_machine import UserProfile, UserProfileConfig


@dataclass
class Customer(UserProfile):
    plan: str | None = None


def test_given_a_field_when_the_schema_loses_it_then_its_value_is_still_recalled_and_the_loss_is_named(
    place: Any,
) -> None:
    with place.machine(user_profile=UserProfileConfig(schema=Customer)) as before:
        before.add(field="plan", value="pro", user_id="alice", by="ann@acme.example")
        assert before.recall(user_id="alice").lost_fields == ()
    with place.machine(user_profile=True) as after:
        recalled = after.recall(user_id="alice")
        assert recalled.fields == {"plan": "pro"}
        assert "plan: pro" in recalled.context
        assert recalled.lost_fields == ("user_profile.plan",)
