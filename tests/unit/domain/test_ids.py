"""Ids that other systems compute as well: fixed values, which no change may alter."""

from __future__ import annotations

from goalstream.domain.ids import achievement_id, achievement_message_id, exit_message_id, goal_message_id

ACCOUNT = "d1a7c0de-0000-4000-8000-00000000000a"
ENROLLMENT = "d1a7c0de-0000-4000-8000-00000000000e"
GOAL = "d1a7c0de-0000-4000-8000-000000000009"


def test_an_achievement_has_one_id_for_ever() -> None:
    assert achievement_id(ACCOUNT, ENROLLMENT, GOAL) == "59b9554a-71f2-53d4-8aa3-231991b58dee"


def test_the_messages_about_an_achievement_differ_by_topic_and_revision() -> None:
    found = achievement_id(ACCOUNT, ENROLLMENT, GOAL)
    assert achievement_message_id("workflow.goal.achieved", found, 1) == "11759621-36df-5a50-9f2e-34b6211eb212"
    assert achievement_message_id("workflow.goal.revoked", found, 2) == "1d17bb5d-6a57-531d-beaa-e3204b5a1d00"


def test_an_enrollment_has_one_exit() -> None:
    assert exit_message_id(ACCOUNT, ENROLLMENT) == "914782d1-371a-5085-b8fe-9bd29f872965"


def test_a_goal_version_is_announced_under_one_id() -> None:
    assert goal_message_id(GOAL, 3) == "ce7fb971-8b53-5f56-81dd-d75e286c0eb0"
