"""Loads the customers of a Stripe account, with dlt.

dlt takes the key from the variable SOURCES__STRIPE__API_KEY, as it takes every secret value.
"""

import dlt
from dlt.sources.rest_api import rest_api_resources


@dlt.source
def stripe(api_key: str = dlt.secrets.value, base_url: str = "https://api.stripe.com/v1/"):
    return rest_api_resources(
        {
            "client": {
                "base_url": base_url,
                "auth": {"type": "bearer", "token": api_key},
                "paginator": {
                    "type": "cursor",
                    "cursor_path": "data[-1].id",
                    "cursor_param": "starting_after",
                    "has_more_path": "has_more",
                },
            },
            "resources": [
                {
                    "name": "customers",
                    "primary_key": "id",
                    "write_disposition": "merge",
                    "endpoint": {"path": "customers", "params": {"limit": 100}, "data_selector": "data"},
                }
            ],
        }
    )


if __name__ == "__main__":
    pipeline = dlt.pipeline("stripe_customers", destination="duckdb", dataset_name="stripe")
    print(pipeline.run(stripe()))
