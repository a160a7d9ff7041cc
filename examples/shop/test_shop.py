"""python3 -m unittest"""

import unittest

import app
import catalogue
import payments


class TheShop(unittest.TestCase):
    def test_every_price_is_a_positive_number_of_cents(self):
        for name, cents in catalogue.PRODUCTS.items():
            self.assertGreater(cents, 0, f"{name} costs {cents}")

    def test_the_front_page_lists_what_is_sold(self):
        status, body = app.page("/")
        self.assertEqual(status, 200)
        self.assertIn("apples", body["products"])

    def test_people_can_pay(self):
        self.assertTrue(payments.ways())

    def test_an_unknown_page_is_not_found(self):
        self.assertEqual(app.page("/nowhere")[0], 404)


if __name__ == "__main__":
    unittest.main()
