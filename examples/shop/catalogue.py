"""What the shop sells: the price of each thing, in cents."""

PRODUCTS = {
    "apples": 120,
}
