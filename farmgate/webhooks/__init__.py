"""Webhooks of every forge, verified and put into our words. Pure."""

from __future__ import annotations

from farmgate.webhooks.deliveries import Change, Deleted, Delivery, Forge, Ignored, Ping, Pull, PullAction, Pushed
from farmgate.webhooks.plain import post_receive_line
from farmgate.webhooks.registry import parse, recognise, verify

__all__ = [
    "Change",
    "Deleted",
    "Delivery",
    "Forge",
    "Ignored",
    "Ping",
    "Pull",
    "PullAction",
    "Pushed",
    "parse",
    "post_receive_line",
    "recognise",
    "verify",
]
