from types import SimpleNamespace

from helloworld.orders import Priceable


def test_an_order_costs_the_sum_of_its_lines():
    order = Priceable()
    order.lines = [
        SimpleNamespace(card="birthday", quantity=2),
        SimpleNamespace(card="thanks", quantity=1),
    ]
    assert order.total_cents() == 2 * 350 + 250


def test_an_empty_order_costs_nothing():
    order = Priceable()
    order.lines = []
    assert order.total_cents() == 0
