#!/usr/bin/env python
"""A Singer tap for the customers of a Stripe account, on Meltano's SDK."""

from singer_sdk import RESTStream, Tap
from singer_sdk import typing as th
from singer_sdk.authenticators import BearerTokenAuthenticator
from singer_sdk.pagination import BaseAPIPaginator


class Pages(BaseAPIPaginator):
    def has_more(self, response):
        return response.json()["has_more"]

    def get_next(self, response):
        return response.json()["data"][-1]["id"]


class Customers(RESTStream):
    name = "customers"
    path = "/v1/customers"
    primary_keys = ("id",)
    records_jsonpath = "$.data[*]"
    schema = th.PropertiesList(
        th.Property("id", th.StringType, required=True),
        th.Property("created", th.IntegerType),
        th.Property("email", th.StringType),
    ).to_dict()

    @property
    def url_base(self):
        return self.config["api_base"]

    @property
    def authenticator(self):
        return BearerTokenAuthenticator(token=self.config["client_secret"])

    def get_new_paginator(self):
        return Pages(None)

    def get_url_params(self, context, next_page_token):
        return {"limit": 100} | ({"starting_after": next_page_token} if next_page_token else {})


class TapStripe(Tap):
    name = "tap-stripe"
    config_jsonschema = th.PropertiesList(
        th.Property("client_secret", th.StringType, required=True, secret=True),
        th.Property("api_base", th.StringType, default="https://api.stripe.com"),
    ).to_dict()

    def discover_streams(self):
        return [Customers(self)]


if __name__ == "__main__":
    TapStripe.cli()
