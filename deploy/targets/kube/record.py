"""What a lane keeps in a cluster: one ConfigMap of its own, with the epoch, the farm, and what it has ever applied.

Rules:
1. `enter` raises the epoch by compare-and-swap on the ConfigMap's version; an older epoch is refused, also if it comes
   at the same moment. `check` reads it again, before each effect.
2. Between a check and its effect an older controller may sleep. So every apply of an object that is there carries the
   version that was read before the check: if a newer controller has touched the object since, the API refuses it.
3. Kinds and namespaces are written down before the first object of theirs is applied, so that nothing that a death
   left behind is out of a prune's sight.
4. A lane belongs to one farm. Another farm is refused until a person deletes the ConfigMap.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Final

from deploy.targets.kube.objects import LANE, Object, Ref, notes
from deploy.targets.kube.wire import Cluster, Refusal
from farmgate.errors import StaleEpoch, TargetError

EPOCH: Final = "farmgate/epoch"
FARM: Final = "farmgate/farm"
KINDS: Final = "kinds"
_TRIES: Final = 20
Kind = tuple[str, str, str, str]
"""Group, version, kind and namespace."""


class Record:
    """The ConfigMap of a lane in one cluster."""

    def __init__(self, cluster: Cluster, namespace: str, label: str, farm: str) -> None:
        self._cluster = cluster
        self._label = label
        self._farm = farm
        self.ref = Ref("", "v1", "ConfigMap", namespace, f"farmgate.{label.lower().replace('_', '-')}")

    def enter(self, epoch: int) -> None:
        """Act from now on as `epoch`. Raises StaleEpoch."""
        self._swap(epoch, ())

    def note(self, epoch: int, refs: Iterable[Ref]) -> None:
        """Write the kinds down that are about to be applied. Raises StaleEpoch."""
        self._swap(epoch, [(each.group, each.version, each.kind, each.namespace) for each in refs])

    def check(self, epoch: int) -> None:
        """Raises StaleEpoch if a newer controller has entered."""
        there = self._cluster.get(self.ref)
        self._refuse(epoch, there)

    def kinds(self) -> tuple[Kind, ...]:
        """Whatever the lane has ever applied, and not taken away for good."""
        return tuple(sorted(_kinds(self._cluster.get(self.ref))))

    def keep_only(self, epoch: int, refs: Iterable[Ref]) -> None:
        """After a prune: of what is not there any more, no kind is remembered."""
        wanted = {(each.group, each.version, each.kind, each.namespace) for each in refs}
        self._swap(epoch, wanted, forget=True)

    def forget(self, epoch: int) -> None:
        """The lane is taken down; its epoch stays, so that an older controller is still refused."""
        self._swap(epoch, (), forget=True)

    def _swap(self, epoch: int, kinds: Iterable[Kind], *, forget: bool = False) -> None:
        added = set(kinds)
        for _ in range(_TRIES):
            there = self._cluster.get(self.ref)
            seen = self._refuse(epoch, there)
            known = _kinds(there)
            wanted = added if forget else known | added
            if there is not None and seen == epoch and wanted == known:
                return
            answer = (
                self._cluster.create(self.ref, self._object(epoch, wanted, None))
                if there is None
                else self._cluster.replace(self.ref, self._object(epoch, wanted, there))
            )
            if not isinstance(answer, Refusal):
                return
            if answer.missing and there is None:
                raise TargetError(f"cluster {self._cluster.name} has no namespace {self.ref.namespace}: make it first")
            if not answer.outdated and not answer.missing:
                raise TargetError(f"cluster {self._cluster.name} refuses the lane's ConfigMap: {answer.words}")
        raise TargetError(f"cluster {self._cluster.name}: others change {self.ref} all the time")

    def _refuse(self, epoch: int, there: Object | None) -> int:
        if there is None:
            return 0
        said = notes(there)
        try:
            seen = int(said.get(EPOCH, "0"))
        except ValueError:
            raise TargetError(
                f"{self.ref} has no epoch that is a number; it is Farmgate's own, and was changed"
            ) from None
        farm = said.get(FARM, self._farm)
        if farm != self._farm:
            raise TargetError(
                f"another farm ({farm}) delivers this lane to {self.ref.namespace}; if it is gone, delete {self.ref}"
            )
        if epoch < seen:
            raise StaleEpoch(
                f"a controller of epoch {epoch} asked the target to act, but epoch {seen} has taken it over"
            )
        return seen

    def _object(self, epoch: int, kinds: set[Kind], there: Object | None) -> Object:
        meta = {
            "name": self.ref.name,
            "namespace": self.ref.namespace,
            "labels": {f"{LANE}-record": self._label},
            "annotations": {EPOCH: str(epoch), FARM: self._farm},
        }
        if there is not None:
            meta["resourceVersion"] = there["metadata"]["resourceVersion"]
        data = {KINDS: json.dumps(sorted(kinds))}
        return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": meta, "data": data}


def _kinds(there: Object | None) -> set[Kind]:
    if there is None:
        return set()
    try:
        listed = json.loads((there.get("data") or {}).get(KINDS) or "[]")
        return {(str(group), str(version), str(kind), str(where)) for group, version, kind, where in listed}
    except (ValueError, TypeError):
        raise TargetError("the lane's ConfigMap was changed by hand: its kinds cannot be read") from None
