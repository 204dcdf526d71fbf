"""Orders over real HTTP: read, listed, and the history that explains them."""

from __future__ import annotations

from tests.running import Json, Running, Shop, line


def ids(answer: Json) -> list[str]:
    return [order["order_id"] for order in answer["orders"]]


def test_an_order_is_read_as_it_was_answered(shop: Shop) -> None:
    order = shop.order(1000, 500)
    assert shop.read_order(order) == order
    assert (order["status"], order["payment_status"], order["version"]) == ("open", "pending", 1)
    assert (order["gross_amount"], order["net_amount"], order["total_discount"]) == (1500, 1500, 0)
    assert [item["line_id"] for item in order["items"]] == [1, 2]
    assert order["authorizations"] == order["captures"] == order["refunds"] == order["cancellations"] == []
    assert order["updated_at"] == order["created_at"]
    links = {link["rel"]: link["href"] for link in order["_links"]}
    assert links["self"] == f"{shop.shopping}/orders/{order['order_id']}"
    assert shop.http.get(links["draft"], timeout=20).json()["status"] == "completed"


def test_lines_come_back_in_the_order_of_their_ids(shop: Shop) -> None:
    order = shop.order(items=[line(30, 1), line(-4, 2), line(7, 3)])
    assert [item["line_id"] for item in order["items"]] == [-4, 7, 30]


# -- lists


def test_an_account_without_orders_has_an_empty_list(shop: Shop) -> None:
    assert shop.ok("GET", "orders") == {"orders": []}


def test_orders_are_listed_newest_first_ten_at_a_time(shop: Shop) -> None:
    made = [shop.order(n)["order_id"] for n in range(1, 13)][::-1]
    assert ids(shop.ok("GET", "orders")) == made[:10]
    assert ids(shop.ok("GET", "orders?limit=100")) == made
    assert ids(shop.ok("GET", "orders?limit=1")) == made[:1]


def test_pages_follow_each_other_without_gap_or_repetition(shop: Shop) -> None:
    made = [shop.order(n) for n in range(1, 8)][::-1]
    seen: list[str] = []
    after = ""
    while page := shop.ok("GET", f"orders?limit=3{after}")["orders"]:
        seen += [order["id"] for order in page]
        after = f"&starting_after={page[-1]['id']}"
        if len(seen) == 3:
            shop.order(99)  # a new one comes first, so it does not shift the pages to come
    assert seen == [order["id"] for order in made]


def test_a_page_may_start_after_an_order_by_its_public_id(shop: Shop) -> None:
    made = [shop.order(n) for n in range(1, 4)][::-1]
    page = shop.ok("GET", f"orders?starting_after={made[0]['order_id']}")
    assert ids(page) == [order["order_id"] for order in made[1:]]


def test_a_list_shows_what_a_single_order_shows(shop: Shop) -> None:
    order = shop.order(1000, 500)
    shop.pay(shop.session(order, 1))
    [listed] = shop.ok("GET", "orders")["orders"]
    assert listed == shop.read_order(order)
    assert listed["authorizations"]
    [listed] = shop.ok("GET", "orders?include_events=true")["orders"]
    assert listed == shop.ok("GET", f"orders/{order['order_id']}?include_events=true")
    assert [event["version"] for event in listed["events"]] == list(range(1, listed["version"] + 1))


def test_a_page_does_not_start_after_an_order_of_another_account(shop: Shop, server: Running) -> None:
    theirs = server.shop().order(1)
    shop.order(1)
    shop.refused(400, "wrong_value", "GET", f"orders?starting_after={theirs['id']}")


# -- history


def test_every_change_is_one_event_numbered_and_chained(shop: Shop) -> None:
    order = shop.order(1000, 500)
    session = shop.session(order, 1)
    transaction = shop.pay(session)["transaction_id"]
    shop.ok("POST", f"/v1/transactions/{transaction}/capture", {"amount": 400})
    path = f"orders/{order['order_id']}"
    shop.ok("POST", f"{path}/refunds", {"items": [{"line_id": 1, "amount": 100}]})
    shop.ok("POST", f"{path}/authorizations", {"items": [{"line_id": 2, "amount": 500}], "success": False})
    found = shop.ok("GET", f"{path}/events")
    assert found["state"] == "pending"
    events = found["events"]
    assert [event["name"] for event in events] == [
        "order_created",
        "session_opened",
        "payment_started",
        "authorization_added",
        "capture_added",
        "refund_added",
        "authorization_added",
    ]
    assert [event["version"] for event in events] == list(range(1, 8))
    assert events[0]["previous_hash"] == ""
    assert [event["previous_hash"] for event in events[1:]] == [event["hash"] for event in events[:-1]]
    assert len({event["hash"] for event in events}) == len({event["id"] for event in events}) == 7
    assert {event["event_type"] for event in events} == {"api-event"}
    assert all(event["created_at"] and event["created_by"] and event["request_id"] for event in events)
    assert shop.read_order(order)["version"] == 7
    assert [event["items"] for event in events[1:]] == [
        *([[{"line_id": 1, "amount": 1000}]] * 3),
        *([[{"line_id": 1, "amount": amount}] for amount in (400, 100)]),
        [{"line_id": 2, "amount": 500}],
    ]
    assert {event["session_id"] for event in events[1:3]} == {session["id"]}
    assert {event["transaction_id"] for event in events[2:6]} == {transaction}


def test_an_event_names_the_request_behind_it(shop: Shop) -> None:
    order = shop.order(1000)
    base = f"/v1/accounts/{shop.account_id}/shopping"
    shop.call(
        *("POST", f"orders/{order['order_id']}/authorizations"),
        {"items": [{"line_id": "1", "amount": 7}], "note": "åse"},
        headers={"X-Request-Id": "order-7/try-1"},
    )
    created, authorized = shop.ok("GET", f"orders/{order['order_id']}/events")["events"]
    assert created["request"]["method"] == "PUT"
    assert created["request"]["path"].startswith(f"{base}/draft_orders/{created['draft_id']}/complete")
    assert authorized["request"] == {
        "method": "POST",
        "path": f"{base}/orders/{order['order_id']}/authorizations",
        "body": {"items": [{"line_id": "1", "amount": 7}], "note": "åse"},
    }
    assert authorized["request_id"] == "order-7/try-1"
    assert authorized["amount"] == 7
    assert authorized["entry_id"] == shop.read_order(order)["authorizations"][0]["id"]


def test_an_event_keeps_a_long_body_in_part_and_a_card_not_at_all(shop: Shop) -> None:
    order = shop.order(1000)
    session = shop.session(order, 1, metadata={"note": "x" * 20_000})
    shop.pay(session, card="4000 0000 0000 0002")
    _, opened, started, _ = shop.ok("GET", f"orders/{order['order_id']}/events")["events"]
    assert isinstance(opened["request"]["body"], str)
    assert len(opened["request"]["body"]) == 10_000
    assert "body" not in started["request"]
    assert "4000" not in str(started)


def test_history_comes_with_an_order_only_when_asked_for(shop: Shop) -> None:
    order = shop.order(1000)
    path = f"orders/{order['order_id']}"
    events = shop.ok("GET", f"{path}/events")["events"]
    assert shop.ok("GET", f"{path}?include_events=true")["events"] == events
    for query in ("", "?include_events=false", "?include_events=", "?unknown=1"):
        assert "events" not in shop.ok("GET", path + query)


# -- entries recorded by hand


def test_entries_are_listed_and_read_by_their_ids(shop: Shop) -> None:
    order = shop.order(1000)
    path = f"orders/{order['order_id']}"
    for plural, kinds in (("authorizations", 1000), ("captures", 600), ("refunds", 200), ("cancellations", 300)):
        entry = shop.ok("POST", f"{path}/{plural}", {"items": [{"line_id": 1, "amount": kinds}]})
        assert (entry["amount"], entry["success"]) == (kinds, True)
        assert entry["items"] == [{"line_id": 1, "amount": kinds}]
        assert shop.ok("GET", f"{path}/{plural}") == {plural: [entry]}
        assert shop.ok("GET", f"{path}/{plural}/{entry['id']}") == entry
        links = {link["rel"]: link["href"] for link in entry["_links"]}
        assert shop.http.get(links["self"], timeout=20).json() == entry
        assert shop.http.get(links["order"], timeout=20).json()[plural] == [entry]
    other = shop.order(1)
    entry_id = shop.ok("GET", f"{path}/captures")["captures"][0]["id"]
    shop.refused(404, "entry_not_found", "GET", f"orders/{other['order_id']}/captures/{entry_id}")
    shop.refused(404, "entry_not_found", "GET", f"{path}/refunds/{entry_id}")


def test_an_entry_keeps_what_else_was_sent(shop: Shop) -> None:
    order = shop.order(1000, 500)
    item = {"line_id": "1", "amount": 1000.0, "original_currency": "SEK", "conversion_rate_ppm": 1_099_000}
    body = {
        "items": [item, {"line_id": 2, "amount": 500}],
        "payment_details": {"payment_id": "PID_123", "psp": "Bambora", "card": {"brand": "Visa"}},
        "processed_at": "2026-02-03T09:00:00.123+01:00",
        "processed_by": "terminal 7",
        "metadata": {"till": 3},
        "something_new": [1],
    }
    entry = shop.ok("POST", f"orders/{order['order_id']}/authorizations", body)
    assert {name: entry[name] for name in body if name != "items"} == {
        name: value for name, value in body.items() if name != "items"
    }
    assert entry["items"] == [{**item, "line_id": 1, "amount": 1000}, {"line_id": 2, "amount": 500}]
    assert shop.read_order(order)["authorizations"] == [entry]


def test_an_entry_without_success_is_kept_and_does_not_count(shop: Shop) -> None:
    order = shop.order(1000)
    path = f"orders/{order['order_id']}"
    failed = shop.ok("POST", f"{path}/authorizations", {"items": [{"line_id": 1, "amount": 1000}], "success": False})
    assert failed["success"] is False
    shop.refused(400, "amount_above_left", "POST", f"{path}/captures", {"items": [{"line_id": 1, "amount": 1}]})
    shop.ok("POST", f"{path}/authorizations", {"items": [{"line_id": 1, "amount": 1000}]})
    assert [entry["success"] for entry in shop.read_order(order)["authorizations"]] == [False, True]


def test_several_authorizations_of_a_line_are_drawn_on_oldest_first_or_by_name(shop: Shop) -> None:
    order = shop.order(1000)
    path = f"orders/{order['order_id']}"
    first, second = (
        shop.ok("POST", f"{path}/authorizations", {"items": [{"line_id": 1, "amount": amount}]})["id"]
        for amount in (400, 600)
    )
    named = {"items": [{"line_id": 1, "amount": 500}], "authorization_id": second}
    assert shop.ok("POST", f"{path}/captures", named)["authorization_id"] == second
    problem = shop.refused(400, "amount_above_left", "POST", f"{path}/captures", named)
    assert "100 left" in problem["message"]
    assert shop.ok("POST", f"{path}/captures", {"items": [{"line_id": 1, "amount": 500}]})["amount"] == 500
    problem = shop.refused(400, "amount_above_left", "POST", f"{path}/captures", {**named, "authorization_id": first})
    assert "0 left" in problem["message"]
    assert shop.read_order(order)["payment_status"] == "paid"
