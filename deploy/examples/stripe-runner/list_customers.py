"""A job: lists the customers of a Stripe account, one a line.

Its keys come from claviger_key.py. STRIPE_API_BASE is another address of Stripe's API, for tests.
"""

import logging
import os

# Turns on the library's own log, which repeats Stripe's words about a key.
os.environ.pop("STRIPE_LOG", None)

import stripe

import claviger_key

logging.getLogger("stripe").disabled = True


class Http(stripe.RequestsClient):
    """Sends each call with the key that is good then, and once more if Stripe does not take it."""

    def __init__(self, keys: claviger_key.Keys):
        super().__init__()
        self._keys = keys

    def request(self, method, url, headers, post_data=None, **more):
        key = self._keys.now()
        answer = super().request(method, url, headers | with_key(key), post_data, **more)
        if answer[1] == 401 and self._keys.refused(key):
            key = self._keys.now()
            answer = super().request(method, url, headers | with_key(key), post_data, **more)
        return answer


def with_key(key: claviger_key.StripeKey) -> dict:
    headers = {"Authorization": f"Bearer {key.text}"}
    # A context goes before an account: the newer of the two says all that the older can.
    if key.context:
        headers["Stripe-Context"] = key.context
    elif key.account:
        headers["Stripe-Account"] = key.account
    return headers


def main() -> None:
    keys = claviger_key.from_environment()
    addresses = {}
    if base := os.environ.get("STRIPE_API_BASE"):
        addresses["api"] = base
    client = stripe.StripeClient(
        keys.now().text,
        http_client=Http(keys),
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
