"""``connection.aapi``: the loop goes on, a cancelled call loses nothing, and what is no operation is told at once."""

from __future__ import annotations

import asyncio

import pytest

from tests.integration.refresh.pairs import assert_live, fresh
from tests.integration.refresh.states import every_variant
from tests.integration.refresh.test_doors import run_async, until
from thanksio_connect.exceptions import NotFound
from thanksio_connect.models import ThanksIOConnection


@pytest.fixture
def held(thanksio, connected):
    connection = connected()
    for number in range(5):
        connection.api.mailing_lists.create(description=f"List {number}")
    return fresh(connection)


def test_operations_are_awaited_and_lists_iterated_page_by_page(held):
    async def main():
        api = held.aapi
        every = [each["description"] async for each in api.mailing_lists.list(items_per_page=2)]
        listing = await api.mailing_lists.list(items_per_page=2)
        raw = await api.get("/mailing-lists/", params={"items_per_page": 1})
        return every, await listing.count(), [page.number async for page in listing.pages()], raw["data"]

    every, count, pages, raw = run_async(main)
    assert sorted(every) == [f"List {number}" for number in range(5)]
    assert (count, len(raw)) == (5, 1)
    assert pages == [1, 2, 3]


def test_an_operation_is_a_coroutine_and_sends_once(thanksio, held):
    """It makes a task, and what is awaited twice (a shielded call after a time-out) is not sent twice."""

    async def main():
        call = held.aapi.mailing_lists.create(description="Once")
        created = await asyncio.create_task(call)
        with pytest.raises(RuntimeError, match="already awaited"):
            await call
        listing = held.aapi.mailing_lists.list()
        return created, [[each["description"] async for each in listing] for _time in range(2)]

    created, (first, second) = run_async(main)
    assert created["description"] == "Once"
    assert first == second
    assert first.count("Once") == 1


def test_an_operation_that_nobody_awaits_warns(thanksio, held):
    async def main():
        held.aapi.send.postcard(message="Hello")

    with pytest.warns(RuntimeWarning, match="'Send.postcard' was never awaited"):
        run_async(main)
    assert thanksio.api.orders == []


def test_a_function_of_the_client_runs_in_one_go_and_paced_stays_asynchronous(held):
    async def main():
        paced = held.aapi.paced(per_minute=6000)
        return await held.aapi(lambda api: len(api.mailing_lists.list())), await paced.get("/mailing-lists/")

    count, answer = run_async(main)
    assert count == len(answer["data"]) == 5


def test_errors_come_as_they_are(held):
    async def main():
        with pytest.raises(NotFound):
            await held.aapi.get("/mailing-lists/123456")
        with pytest.raises(AttributeError):
            held.aapi.mailing_lists.lst()
        with pytest.raises(TypeError):
            await held.aapi.mailing_lists.create(descripton="misspelt")
        return True

    assert run_async(main)


def test_the_loop_goes_on_while_thanksio_answers(thanksio, held):
    thanksio.next_api("/mailing-lists/", delay=0.5)

    async def awaited():
        return await held.aapi.get("/mailing-lists/")

    async def loop():
        task = asyncio.create_task(awaited())
        ticks = 0
        while not task.done():
            await asyncio.sleep(0.01)
            ticks += 1
        return ticks, await task

    ticks, answer = run_async(loop)
    assert ticks >= 10
    assert len(answer["data"]) == 5


@every_variant
def test_a_cancelled_call_loses_no_renewal(thanksio, connected):
    connection = connected()
    fault = thanksio.next_token(hold="after")

    async def call():
        return await connection.aapi.get("/mailing-lists/")

    async def main():
        task = asyncio.create_task(call())
        await asyncio.to_thread(fault.wait_reached, 30)
        task.cancel()
        fault.release()
        with pytest.raises(asyncio.CancelledError):
            await task
        return True

    assert run_async(main)
    until(lambda: ThanksIOConnection.objects.get(pk=connection.pk).tokens.version == 2)
    assert_live(thanksio, connection)
