"""Run against every place the service is deployed to: the candidate first, then live."""

import os

from pymacaron.test import PyMacaronTestCase


class HelloTests(PyMacaronTestCase):
    def bearer(self):
        return "Bearer " + os.environ["PYM_JWT_TOKEN"]

    def test_it_answers_ping_and_tells_its_version(self):
        self.assertHasPing()
        self.assertHasVersion()

    def test_it_greets_the_world(self):
        reply = self.assertGetReturnJson("v1/hello")
        self.assertEqual(reply, {"text": "Hello world!"})

    def test_it_greets_somebody_twice(self):
        reply = self.assertGetReturnJson("v1/hello?name=Ada&times=2")
        self.assertEqual(reply["text"], "Hello Ada! Hello Ada!")

    def test_it_refuses_to_greet_too_often(self):
        self.assertGetReturnError("v1/hello?times=11", 400, "INVALID_PARAMETER")

    def test_it_prices_a_nested_order(self):
        order = {
            "customer": {"name": "Ada", "email": "ada@example.com"},
            "lines": [{"card": "birthday", "quantity": 2}, {"card": "thanks", "quantity": 1}],
        }
        reply = self.assertPostReturnJson("v1/orders", order)
        self.assertEqual(reply, {"order": order, "total_cents": 950})

    def test_it_refuses_an_order_without_lines(self):
        self.assertCallReturnError(
            "POST",
            "v1/orders",
            400,
            "INVALID_PARAMETER",
            {"customer": {"name": "Ada"}, "lines": []},
        )

    def test_it_knows_its_stock(self):
        reply = self.assertGetReturnJson("v1/orders/sorry/stock")
        self.assertEqual(reply, {"card": "sorry", "left": 0})

    def test_it_wants_a_token(self):
        self.assertGetReturnError("v1/me", 401, "AUTHORIZATION_HEADER_MISSING")

    def test_it_knows_who_calls(self):
        reply = self.assertGetReturnJson("v1/me", auth=self.bearer())
        self.assertTrue(reply["user_id"])

    def test_a_failure_it_foresees_has_its_own_code(self):
        self.assertGetReturnError("v1/fail", 409, "CARDS_SOLD_OUT")

    def test_a_bug_does_not_show_its_text(self):
        error = self.assertGetReturnError("v1/fail?kind=bug", 500, "SERVER_ERROR")
        self.assertNotIn("own reports", error["error_description"])
