"""Merchants and payers, who ask over HTTP, give up, come back, ask twice, and remember what they were told."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any
from urllib.parse import urlsplit

from kasse.domain.times import rfc3339
from tests.running import Json, line, session_request
from tests.simulation import errands
from tests.simulation.network import Answer, Cut, request
from tests.simulation.world import World

ACCOUNT = "T12345678"
SHOPPING = f"/v1/accounts/{ACCOUNT}/shopping"
CALLBACK = "https://shop.example/callback?report_error=true&report_event=CAPTURE&report_event=REFUND&report_event=AUTHORIZATION_VOID"
GOOD_CARDS = ("4000000000000002", "5200000000000007", "4000200000000008")
OTHER_CARDS = (
    *("4000100000000000", "5200000000000015", "4100000000000076"),  # ask for 3-D Secure
    *("4000300000000006",),  # fails it
    *("4100000000000001", "5100000000000008"),  # time out when they authorize, having acted or not
    *("4100000000000019", "5100000000000016"),  # when they capture
    *("4100000000000027", "5100000000000024"),  # when they refund
    *("4100000000000043", "5100000000000040"),  # when they void
)
DECLINED = 9_955_100
_AGAIN = (429, 500, 503)


@dataclass
class Deed:
    """Something that was asked for once, whatever number of requests that took. ``told`` is the last answer."""

    name: str
    kind: str
    about: str
    told: Answer | None = None


@dataclass
class Merchant:
    """One shop, at which several people work at once."""

    world: World
    client_id: str
    client_secret: str
    token: str = ""
    deeds: list[Deed] = field(default_factory=list)
    sessions: list[str] = field(default_factory=list)
    unanswered: list[tuple[str, str, str, Any, str]] = field(default_factory=list)
    """Requests with a key, as ``ask`` takes them, that had no answer however often they were sent."""
    matched: list[tuple[str, Answer, Answer | None]] = field(default_factory=list)
    """Captures at a transaction, and what was answered when they were recorded on the order as well."""

    @property
    def account_path(self) -> str:
        return f"/v1/accounts/{ACCOUNT}"

    def pay_path(self, session: str) -> str:
        return f"{self.account_path}/sandbox/sessions/{session}/pay"

    async def ask(self, who: str, method: str, path: str, body: Any = None, key: str | None = None) -> Answer | None:
        """Ask until there is an answer, with the same key each time; None when it stays unknown."""
        url = path if path.startswith("/") else f"{SHOPPING}/{path}"
        for number in range(30):
            if number:
                await asyncio.sleep(self.world.chance.uniform(0, 0.5 * number))
            if not self.token:
                await self._log_in()
                continue
            headers = {"authorization": f"Bearer {self.token}"}
            if key is not None:
                headers["idempotency-key"] = key
            try:
                answer = await request(self.world, who, method, url, body, headers)
            except Cut:
                continue
            if answer.status == 401:
                self.token = ""
                continue
            if answer.status not in _AGAIN and not (answer.status == 409 and answer.keyword == "request_under_way"):
                return answer
        if key is not None:
            self.unanswered.append((who, method, path, body, key))
        return None

    async def ask_again(self) -> None:
        """When all is well each of them must be answered."""
        waiting, self.unanswered = self.unanswered, []
        for who, method, path, body, key in waiting:
            answer = await self.ask(who, method, path, body, key)
            for deed in self.deeds:
                if deed.name == who:
                    deed.told = answer
        for who, method, path, _, _ in self.unanswered:
            self.world.problem(f"{who} is never answered: {method} {path}")

    async def _log_in(self) -> None:
        login = base64.b64encode(f"{self.client_id}:{self.client_secret}".encode()).decode()
        body = {"grant_type": "client_credentials", "audience": f"https://api.dintero.com/v1/accounts/{ACCOUNT}"}
        try:
            url = f"/v1/accounts/{ACCOUNT}/auth/token"
            answer = await request(self.world, "merchant", "POST", url, body, {"authorization": f"Basic {login}"})
        except Cut:
            return
        if answer.status == 200:
            self.token = answer.json()["access_token"]

    async def do(
        self, kind: str, about: str, method: str, path: str, body: Json, *, with_name: bool = True
    ) -> Answer | None:
        """Do something that shall happen once, and remember it; with its name where the wire has a place for one."""
        deed = Deed(f"deed-{len(self.deeds) + 1}", kind, about)
        self.deeds.append(deed)
        key = f"key of {deed.name}"
        named = {**body, "metadata": {"ext_deed": deed.name}} if with_name else body
        deed.told = await self.ask(deed.name, method, path, named, key)
        return deed.told

    # -- the story of an order

    async def trade(self, number: int) -> None:
        """Make an order, let people pay it, and handle what they paid."""
        chance = self.world.chance
        await self.world.wait(20)
        amounts = [
            chance.choice((100, 990, 12_345, chance.randrange(1, 90_000))) for _ in range(chance.randrange(1, 5))
        ]
        if chance.random() < 0.1:
            amounts = [DECLINED]
        order = await self._order(number, amounts)
        if order is None:
            return
        sales = [self._sell(order, amounts) for _ in range(chance.choice((1, 1, 1, 2, 2, 4)))]
        await asyncio.gather(errands.look_after(self, order, amounts), *sales)

    async def _order(self, number: int, amounts: Sequence[int]) -> str | None:
        items = [line(n, amount) for n, amount in enumerate(amounts, 1)]
        order = {"currency": "NOK", "items": items, "merchant_reference": f"cart-{number}"}
        body = {"order": order, "options": {"generate_order_id": "ALPHANUMERIC_9"}}
        made = await self.ask(f"cart-{number}", "POST", "draft_orders", body, key=f"draft {number}")
        if made is None or made.status != 200:
            return None
        path = f"draft_orders/{made.json()['id']}/complete"
        done = await self.ask(f"cart-{number}", "PUT", path, {}, key=f"complete {number}")
        return None if done is None or done.status != 200 else str(done.json()["orders"][0]["order_id"])

    async def _sell(self, order: str, amounts: Sequence[int]) -> None:
        """Open a session for some lines, have it paid, and handle the money."""
        chance = self.world.chance
        everything = range(1, len(amounts) + 1)
        lines = sorted(chance.sample(everything, chance.randrange(1, len(amounts) + 1)))
        chosen = list(everything) if chance.random() < 0.6 else lines
        body = session_request(chosen, url={"callback_url": CALLBACK})
        answer = await self.ask("shop", "POST", f"orders/{order}/sessions", body, key=f"session {chance.random()}")
        if answer is None or answer.status != 200:
            return
        session = str(answer.json()["id"])
        self.sessions.append(session)
        await self._after(session, order, amounts)

    async def trade_directly(self, number: int) -> None:
        """A session that belongs to no order, that may capture by itself and may run out early."""
        chance = self.world.chance
        await self.world.wait(20)
        amount = chance.choice((0, *[chance.randrange(100, 90_000)] * 6))
        order = {"amount": amount, "currency": "NOK", "merchant_reference": f"direct-{number}"}
        url = {"return_url": "https://shop.example/done", "callback_url": CALLBACK}
        body: Json = {"url": url, "order": order, "profile_id": "default"}
        express = bool(amount) and chance.random() < 0.4
        if express:
            body |= errands.express_order(amount, f"direct-{number}", asks=chance.random() < 0.7)
        if chance.random() < 0.5:
            body["configuration"] = {"auto_capture": True}
        if chance.random() < 0.3:
            # It runs out while people are still paying, or before they begin.
            body["expires_at"] = rfc3339(self.world.now() + timedelta(seconds=chance.uniform(5, 60)))
        answer = await self.ask("shop", "POST", "/v1/sessions-profile", body, key=f"direct {number}")
        if answer is None or answer.status != 200:
            return
        session = str(answer.json()["id"])
        self.sessions.append(session)
        await self._after(session, None, [amount], express)

    async def _after(self, session: str, order: str | None, amounts: Sequence[int], express: bool = False) -> None:
        chance = self.world.chance
        payers = [self._payer(session, express, not sum(amounts)) for _ in range(chance.choice((1, 1, 1, 2, 3)))]
        others = [self._cancel(session)] if chance.random() < 0.15 else []
        if chance.random() < 0.3:
            others.append(errands.amend(self, session, direct=order is None and not express))
        await asyncio.gather(*payers, *others)
        await asyncio.gather(*(self._handle(session, order, amounts) for _ in range(chance.choice((1, 1, 2)))))

    async def _cancel(self, session: str) -> None:
        await self.world.wait(30)
        await self.ask("shop", "POST", f"/v1/sessions/{session}/cancel", {})

    async def _handle(self, session: str, order: str | None, amounts: Sequence[int]) -> None:
        """Capture, refund and void, as it comes."""
        chance = self.world.chance
        found = await self.ask("clerk", "GET", f"/v1/sessions/{session}")
        transaction = found.json().get("transaction_id") if found is not None and found.status == 200 else None
        if transaction is None:
            return
        read = await self.ask("clerk", "GET", f"/v1/transactions/{transaction}")
        if read is not None and read.status == 200 and read.json()["status"] == "ON_HOLD" and chance.random() < 0.9:
            await errands.decide_held(self, session, transaction)
        for _ in range(chance.randrange(0, 5)):
            await self.world.wait(15)
            if order is not None and chance.random() < 0.2:
                await errands.take_by_both_doors(self, order, transaction, amounts)
                continue
            kind = chance.choice(("capture", "capture", "capture", "refund", "refund", "void"))
            if order is not None and chance.random() < 0.6:
                plural = {"capture": "captures", "refund": "refunds", "void": "cancellations"}[kind]
                lines = sorted(chance.sample(range(1, len(amounts) + 1), chance.randrange(1, len(amounts) + 1)))
                items = [{"line_id": n, "amount": self.part(amounts[n - 1])} for n in lines]
                await self.do(kind, order, "POST", f"orders/{order}/{plural}", {"items": items})
            elif kind == "void":
                await self.ask("clerk", "POST", f"/v1/transactions/{transaction}/void", {}, key=f"{chance.random()}")
            else:
                body: Json = {"amount": self.part(sum(amounts))}
                if kind == "capture" and chance.random() < 0.25:
                    body["final_capture"] = True
                await self.do(kind, transaction, "POST", f"/v1/transactions/{transaction}/{kind}", body)

    def part(self, amount: int) -> int:
        return amount if self.world.chance.random() < 0.5 else self.world.chance.randrange(1, amount + 2)

    # -- payers

    async def _payer(self, session: str, express: bool, costs_nothing: bool) -> None:
        """Pay, in one way or another, perhaps several times, and perhaps leave in the middle of it."""
        chance = self.world.chance
        await self.world.wait(20)
        for _ in range(chance.randrange(1, 4)):
            if express:
                await errands.choose_shipping(self, session)
            if costs_nothing:
                if await errands.pay_nothing(self, session):
                    return
                continue
            if chance.random() < 0.15:
                if await errands.pay_elsewhere(self, session):
                    return
                continue
            if chance.random() < 0.4:
                if await errands.pay_at_the_wallet(self, session):
                    return
                continue
            card = chance.choice(GOOD_CARDS if chance.random() < 0.5 else OTHER_CARDS)
            way = self._at_the_api if chance.random() < 0.5 else self._at_the_page
            with_luck = await way(session, card)
            if with_luck and chance.random() < 0.8:
                return
            await self.world.wait(20)

    async def _at_the_api(self, session: str, card: str) -> bool:
        answer = await self.ask("payer", "POST", self.pay_path(session), {"card": card})
        if answer is None or answer.status != 200:
            return False
        reply = answer.json()
        if reply["action_url"]:
            await self.confirm(reply["action_url"])
        return bool(reply["status"] == "AUTHORIZED")

    async def _at_the_page(self, session: str, card: str) -> bool:
        chance = self.world.chance
        form = {"card_number": card, "card_expiry": "12/33", "card_cvc": "123"}
        if chance.random() < 0.1:
            await self._visit("POST", f"/v1/view/{session}/cancel", {})
            return False
        answer = await self._visit("POST", f"/v1/view/{session}/pay", form)
        if answer is None:
            # What has become of it? He looks at the page, and may press the button again.
            await self._visit("GET", f"/v1/view/{session}")
            return False
        place = answer.headers.get("location", "")
        if "/sandbox/challenge/" in place:
            await self.confirm(place)
        return answer.status == 200

    async def confirm(self, place: str) -> None:
        """What the payer does at his bank or in his wallet."""
        chance = self.world.chance
        if chance.random() < 0.15:
            return
        await self.world.wait(60)
        said = "approve" if chance.random() < 0.8 else "reject"
        answer = await self._visit("POST", f"{urlsplit(place).path}/{said}", {})
        back = answer.headers.get("location") if answer is not None else None
        if back is None:
            return
        # He comes back, once or twice, while he may be pressing a button in another window.
        window = urlsplit(back).path.rpartition("/redirect/")[0].rpartition("/")[2]
        visits = [self._visit("GET", back) for _ in range(chance.choice((0, 1, 1, 2)))]
        if chance.random() < 0.7:
            visits.append(self._visit("POST", f"/v1/view/{window}/cancel", {}))
        await asyncio.gather(*visits)

    async def visit(self, method: str, url: str, body: Json | None = None) -> Answer | None:
        """What the payer's page asks, once."""
        try:
            return await request(self.world, "page", method, url, body)
        except Cut:
            return None

    async def _visit(self, method: str, url: str, form: dict[str, str] | None = None) -> Answer | None:
        try:
            return await request(self.world, "payer", method, url, form=form)
        except Cut:
            return None
