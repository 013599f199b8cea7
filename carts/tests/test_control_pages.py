"""What managers see first."""

import pytest
from django.test import Client

from carts.tests.factories import make_cart
from tenants.tests.factories import make_branch, make_people
from tenants.tests.signing_in import sign_in

pytestmark = pytest.mark.django_db


def test_branches_stand_in_the_order_of_their_names(client: Client) -> None:
    sign_in(client, make_people().erin)
    for name in ("Tajrish", "Crolles", "Haifa"):
        make_cart(branch=make_branch(name=name))

    html = client.get("/control/").content.decode()

    places = [html.index(name) for name in ("Crolles", "Haifa", "Tajrish")]
    assert places == sorted(places)
