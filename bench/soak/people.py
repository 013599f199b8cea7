"""Those who tap, tap again, cancel, take carts, bring them back, and mend what is suspect."""

from functools import partial
from typing import Any
from uuid import UUID, uuid4

from carts import services
from carts.models import Cart, Rental
from core.errors import DomainError
from core.idempotency import KeyReused
from tenants.models import User

from .board import Station
from .cloud import Cloud
from .faults import Fault
from .oracle import Oracle
from .races import race
from .world import World


class People:
    """Customers and staff around the carts of one chapter."""

    def __init__(
        self, world: World, cloud: Cloud, oracle: Oracle, customers: list[User], stations: list[Station]
    ) -> None:
        self.world = world
        self.cloud = cloud
        self.oracle = oracle
        self._customers = customers
        self._station_of = {cart_id: station for station in stations for cart_id in station.carts.values()}
        self._carts = list(self._station_of)
        self._free: list[UUID] = []
        self._mending: set[UUID] = set()
        self.unlocks = 0

    # Taps

    def look_around(self) -> None:
        """Each second: who is free, and what needs mending."""
        rows = Cart.objects.filter(pk__in=self._carts).order_by("cart_number")
        reachable = "controller__device__presence__connection_id"
        states = list(rows.values_list("pk", "status", "condition", "lock_state", "present", reachable))
        self._free = [
            pk
            for pk, status, condition, lock, present, connection_id in states
            if (status, condition) == ("available", "ok")
            and lock != "unlocked"
            and present is not False
            and connection_id
        ]
        for pk, status, condition, *_ in states:
            if condition == "suspect" and status == "available" and pk not in self._mending:
                self._mending.add(pk)
                self.world.after(self.world.between(1.0, 5.0), partial(self._mend, pk))

    def tap(self) -> None:
        """Somebody scans a cart; most scan one that is free."""
        world = self.world
        if world.strikes(Fault.BUSY_CART):
            cart_id = world.random.choice(self._carts)
        elif self._free:
            cart_id = self._free.pop(world.random.randrange(len(self._free)))
        else:
            world.outcomes["no cart was free"] += 1
            return
        customer, key = world.random.choice(self._customers), uuid4().hex
        if world.strikes(Fault.STAFF_UNLOCK):
            self.unlocks += bool(
                self._ask(
                    lambda: services.command_cart(
                        cart=_cart(cart_id), type="unlock", actor=customer, idempotency_key=key
                    )
                )
            )
        elif world.strikes(Fault.TAP_RACE):
            self._race(cart_id, customer, key, world.random.choice(self._customers), uuid4().hex)
        elif world.strikes(Fault.TAP_TWICE_AT_ONCE):
            self._race(cart_id, customer, key, customer, key)
        else:
            self._rent(cart_id, customer, key)

    def _rent(self, cart_id: UUID, customer: User, key: str) -> None:
        world = self.world
        answer = self._ask(lambda: services.start_rental(cart=_cart(cart_id), customer=customer, idempotency_key=key))
        if answer is None:
            return
        self.unlocks += 1
        world.note(f"{customer.pk} taps: rental {answer['rental_id'][:8]}", cart_id)
        if world.strikes(Fault.TAP_AGAIN):
            world.after(world.between(0.0, 20.0), lambda: self._rent_again(cart_id, customer, key, answer))
        if world.strikes(Fault.TAP_OTHER_BODY):
            world.after(world.between(0.0, 20.0), lambda: self._rent_other(cart_id, customer, key))
        if world.strikes(Fault.CANCELLED):
            when = world.between(0.0, 0.02) if world.random.random() < 0.6 else world.between(0.02, 12.0)
            world.after(when, lambda: self._cancel(UUID(answer["rental_id"]), customer))

    def _rent_again(self, cart_id: UUID, customer: User, key: str, answer: dict[str, Any]) -> None:
        again = services.start_rental(cart=_cart(cart_id), customer=customer, idempotency_key=key)
        if again != answer:
            self.oracle.broken("same key, same answer", f"{answer} then {again}", cart_id)

    def _rent_other(self, cart_id: UUID, customer: User, key: str) -> None:
        other = next(one for one in self._carts if one != cart_id)
        try:
            services.start_rental(cart=_cart(other), customer=customer, idempotency_key=key)
        except KeyReused:
            return
        self.oracle.broken("same key with another body is refused", "it was taken", other)

    def _race(self, cart_id: UUID, customer: User, key: str, rival: User, rival_key: str) -> None:
        cart = _cart(cart_id)
        racers = race(
            lambda: services.start_rental(cart=cart, customer=customer, idempotency_key=key),
            lambda: services.start_rental(cart=cart, customer=rival, idempotency_key=rival_key),
        )
        for racer in racers:
            if racer.error is not None and not isinstance(racer.error, DomainError):
                raise racer.error
        answers = [racer.answer for racer in racers if racer.answer]
        self.unlocks += bool(answers)
        self.world.note(f"two taps at once: {len(answers)} answers", cart_id)
        if len({answer["rental_id"] for answer in answers}) > 1:
            self.oracle.broken("one open rental per cart", f"two for two taps at once: {answers}", cart_id)
        if key == rival_key and len(answers) == 1:
            self.oracle.broken("same key, same answer", f"only one of two was answered: {answers}", cart_id)

    def _cancel(self, rental_id: UUID, customer: User) -> None:
        self.world.note(f"{customer.pk} says that it did not open", Rental.objects.get(pk=rental_id).cart_id)
        self._ask(lambda: services.report_not_opened(rental=Rental.objects.get(pk=rental_id), customer=customer))

    def _ask(self, request: Any) -> Any:
        try:
            return self.cloud.as_web(request)
        except DomainError as error:
            self.world.outcomes[f"turned away: {error.code}"] += 1
            return None

    # Carts

    def opened(self, station: Station, number: int) -> None:
        """A hook is open: the cart may be taken, and sooner or later somebody pushes it in."""
        world, lock = self.world, station.board.locks[number]
        world.note("hook open", station.carts[number])
        if world.random.random() < 0.8:
            world.after(world.between(0.3, 1.8), lambda: None if lock.hook_closed else lock.pull())
        world.after(world.between(2.0, 8.0), lambda: self._bring_back(station, number))

    def _bring_back(self, station: Station, number: int) -> None:
        lock, cart_id = station.board.locks[number], station.carts[number]
        lock.free()
        if not lock.hook_closed:
            self.oracle.may_read_closed(cart_id)
        lock.push()
        self.world.note("cart pushed in", cart_id)
        self.world.after(self.world.between(8.0, 25.0), lambda: self._press_return(cart_id))

    def _press_return(self, cart_id: UUID) -> None:
        """Whoever still has a running rental of a cart that is in its place presses the button."""
        rental = (
            Rental.objects.filter(cart_id=cart_id, status__in=("active", "overdue")).select_related("customer").first()
        )
        lock = self._station_of[cart_id].lock_of(cart_id)
        if rental is None or not lock.hook_closed:
            return
        self.world.outcomes["return pressed, because the lock's report came before the rental began"] += 1
        assert rental.customer  # one that runs has one
        customer = rental.customer
        self._ask(lambda: services.return_cart(rental=rental, actor=customer))

    def _mend(self, cart_id: UUID) -> None:
        self._mending.discard(cart_id)
        self._station_of[cart_id].lock_of(cart_id).free()
        services.put_in_service(cart=_cart(cart_id), actor="staff")


def _cart(cart_id: UUID) -> Cart:
    return Cart.objects.get(pk=cart_id)
