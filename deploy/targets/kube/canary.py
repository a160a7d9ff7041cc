"""A canary beside what runs: a second Deployment, and where a route divides the traffic, a second Service. Pure.

Rules:
1. `pods`: the canary's pods carry the same labels and one more, so the Service finds them too: its share of the pods is
   its share of the traffic. What runs is not touched. So it takes more pods, and no share above half.
2. `route`: the canary's pods carry other values of the labels that the Services select by, and a Service of their own;
   the weights of the route's backends are divided. Any share, exactly.
3. Nothing in the user's own objects changes but the weights of a route, and those only while the canary is there.
4. A canary reads the configuration that it names. What changes in place under the same name is not seen by it until the
   last wave; names that carry a hash of their content, as kustomize makes them, have no such trouble.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from copy import deepcopy
from typing import Any, Final

from deploy.targets.kube.objects import TRACK, Object, Unfit, get

SUFFIX: Final = "-canary"
ROUTES: Final = ("HTTPRoute", "GRPCRoute")
_LABEL_LIMIT: Final = 63


def deployment_of(objects: Sequence[Object], name: str | None) -> Object:
    """The Deployment that gets a canary. Raises Unfit where it is not clear which one."""
    found = [each for each in objects if each["kind"] == "Deployment"]
    chosen = [each for each in found if name is None or each["metadata"]["name"] == name]
    if len(chosen) == 1:
        return chosen[0]
    there = ", ".join(each["metadata"]["name"] for each in found) or "none"
    if name is not None:
        raise Unfit(f"the manifests hold no Deployment {name} that could have a canary; they hold {there}")
    raise Unfit(f"a canary needs one Deployment, and the manifests hold {there}: name it under `deployment`")


def replicas(stable: int, share: int, by: str) -> int:
    """How many pods the canary has for a share in percent, beside `stable` ones."""
    if by == "route":
        return max(1, math.ceil(stable * share / 100))
    return max(1, round(stable * share / (100 - share)))


def taken(stable: int, beside: int) -> int:
    """The share that so many pods beside the stable ones really have, in percent."""
    return round(100 * beside / (stable + beside)) if beside else 0


def objects(all_: Sequence[Object], deployment: Object, count: int, by: str) -> list[Object]:
    """The canary's own objects with so many pods. Raises Unfit where no Service could lead to it."""
    services = _services(all_, deployment)
    if not services:
        name = deployment["metadata"]["name"]
        raise Unfit(f"no Service of the manifests selects the pods of Deployment {name}: a canary would get nothing")
    changed = _labels(deployment, services, by)
    made = [_deployment(deployment, changed, count)]
    if by == "route":
        if not _routes(all_, services):
            names = ", ".join(sorted(services))
            raise Unfit(f"no HTTPRoute or GRPCRoute of the manifests leads to {names}: nothing could be divided")
        made += (_service(each, changed) for each in services.values())
    return made


def divided(all_: Sequence[Object], deployment: Object, share: int) -> list[Object]:
    """The routes that lead to the Deployment, with `share` percent of it for the canary."""
    services = _services(all_, deployment)
    return [_divided(each, services, share) for each in _routes(all_, services)]


def names(deployment: Object) -> str:
    """The canary's name."""
    return str(deployment["metadata"]["name"]) + SUFFIX


def _services(all_: Sequence[Object], deployment: Object) -> dict[str, Object]:
    """The Services that select the Deployment's pods, by name."""
    pods = get(deployment, "spec", "template", "metadata", "labels", default={})
    space = deployment["metadata"].get("namespace")
    return {
        each["metadata"]["name"]: each
        for each in all_
        if each["kind"] == "Service"
        and each["metadata"].get("namespace") == space
        and get(each, "spec", "selector")
        and all(pods.get(key) == value for key, value in each["spec"]["selector"].items())
    }


def _routes(all_: Sequence[Object], services: Mapping[str, Object]) -> list[Object]:
    return [
        each
        for each in all_
        if each["kind"] in ROUTES
        and any(
            _leads(backend, services)
            for rule in get(each, "spec", "rules", default=())
            for backend in rule.get("backendRefs") or ()
        )
    ]


def _leads(backend: Mapping[str, Any], services: Mapping[str, Object]) -> bool:
    return backend.get("kind", "Service") == "Service" and backend.get("name") in services


def _labels(deployment: Object, services: Mapping[str, Object], by: str) -> dict[str, str]:
    """The canary's labels: with `route` none of the Services' selectors fits them."""
    pods = dict(get(deployment, "spec", "template", "metadata", "labels", default={}))
    if by == "route":
        keys = {key for each in services.values() for key in each["spec"]["selector"]}
        for key in keys | set(get(deployment, "spec", "selector", "matchLabels", default={})):
            pods[key] = f"{pods[key][: _LABEL_LIMIT - len(SUFFIX)]}{SUFFIX}"
    return {**pods, TRACK: "canary"}


def _deployment(deployment: Object, changed: Mapping[str, str], count: int) -> Object:
    made = deepcopy(deployment)
    made["metadata"]["name"] = names(deployment)
    made["metadata"]["labels"] = {**(made["metadata"].get("labels") or {}), TRACK: "canary"}
    selector = get(made, "spec", "selector", "matchLabels", default={})
    made["spec"]["selector"]["matchLabels"] = {**{key: changed[key] for key in selector}, TRACK: "canary"}
    made["spec"]["template"]["metadata"]["labels"] = dict(changed)
    made["spec"]["replicas"] = count
    return made


def _service(service: Object, changed: Mapping[str, str]) -> Object:
    made = deepcopy(service)
    made["metadata"]["name"] += SUFFIX
    made["metadata"]["labels"] = {**(made["metadata"].get("labels") or {}), TRACK: "canary"}
    selector = {key: changed[key] for key in service["spec"]["selector"]}
    spec = {key: value for key, value in made["spec"].items() if key in ("ports", "ipFamilyPolicy", "ipFamilies")}
    ports = [{key: value for key, value in each.items() if key != "nodePort"} for each in spec.get("ports") or ()]
    made["spec"] = {**spec, "ports": ports, "selector": {**selector, TRACK: "canary"}}
    return made


def _divided(route: Object, services: Mapping[str, Object], share: int) -> Object:
    made = deepcopy(route)
    for rule in made["spec"]["rules"]:
        backends = []
        for backend in rule.get("backendRefs") or ():
            weight = backend.get("weight", 1)
            if _leads(backend, services):
                backends.append({**backend, "weight": weight * (100 - share)})
                backends.append({**deepcopy(backend), "name": backend["name"] + SUFFIX, "weight": weight * share})
            else:
                backends.append({**backend, "weight": weight * 100})
        if backends:
            rule["backendRefs"] = backends
    return made
