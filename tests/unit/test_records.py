"""A record: level and sentence of its event, its fields and no other, and the line that it comes from."""

import logging
from uuid import UUID

import pytest

from thanksio_connect.records import EVENTS, record


def test_a_sentence_is_filled_from_the_fields_and_the_words_which_are_no_fields(caplog):
    record("event.not_written", words={"error": "DataError"}, connection_id=UUID(int=7), user_id=5, code="failing")
    [seen] = caplog.records
    assert (seen.name, seen.levelname) == ("thanksio_connect", "WARNING")
    assert seen.getMessage() == (
        "An event of thanks.io connection 00000000-0000-0000-0000-000000000007 could not be written down "
        "(failing: DataError). Nothing else depends on it."
    )
    assert {name: value for name, value in vars(seen).items() if name.startswith("thanksio_")} == {
        "thanksio_event": "event.not_written",
        "thanksio_connection_id": "00000000-0000-0000-0000-000000000007",
        "thanksio_user_id": 5,
        "thanksio_code": "failing",
    }


def test_what_is_grouped_by_is_the_catalogues_sentence_and_the_place_is_the_callers(caplog):
    record("pages.address_unknown", words={"setting": "THANKSIO_CONNECTED_URL"})
    [seen] = caplog.records
    assert (seen.msg, seen.args["setting"]) == (EVENTS["pages.address_unknown"][1], "THANKSIO_CONNECTED_URL")
    place = "test_what_is_grouped_by_is_the_catalogues_sentence_and_the_place_is_the_callers"
    assert (seen.pathname, seen.funcName) == (__file__, place)


def test_one_of_several_sentences_is_of_the_same_event(caplog):
    record("event.not_deleted:webhooks", code="DataError")
    [seen] = caplog.records
    assert (seen.thanksio_event, seen.getMessage()) == (
        "event.not_deleted",
        "Old webhooks could not be deleted (DataError).",
    )


def test_level_and_logger_may_be_others(caplog):
    logger = logging.getLogger("thanksio_connect.api")
    record("webhook.refused", level=logging.ERROR, logger=logger, code="x")
    assert [(seen.name, seen.levelname) for seen in caplog.records] == [("thanksio_connect.api", "ERROR")]


def test_an_event_that_is_not_in_the_catalogue_is_an_error():
    with pytest.raises(KeyError, match="no_such_event"):
        record("no_such_event")
