"""A job: lists the customers of a Stripe account, one a line.

Its key comes from claviger_key.py. STRIPE_API_BASE is another address of Stripe's API, for tests.
"""

import logging
import os

# Turns on the library's own log, which repeats Stripe's words about a key.
os.environ.pop("STRIPE_LOG", None)

import stripe

import claviger_key

logging.getLogger("stripe").disabled = True


def main() -> None:
    key = claviger_key.from_environment()
    addresses = {}
    if base := os.environ.get("STRIPE_API_BASE"):
        addresses["api"] = base
    client = stripe.StripeClient(
        key.text,
        # A context goes before an account: the newer of the two says all that the older can.
        stripe_account=None if key.context else key.account or None,
        stripe_context=key.context or None,
        base_addresses=addresses,
        max_network_retries=2,
    )
    try:
        for customer in client.v1.customers.list({"limit": 100}).auto_paging_iter():
            print(customer.id, flush=True)
    except stripe.StripeError as error:
        # Not Stripe's message, which can repeat the key as it was sent.
        if error.http_status is None:
            claviger_key.stop(1, f"no answer from Stripe: {type(error).__name__}")
        # `error.code` is empty for a refused key.
        code = error.error.code if error.error else None
        claviger_key.stop(1, f"Stripe refused: {error.http_status} {code or ''}")


main()
