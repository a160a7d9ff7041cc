"""Controllers and a kubelet for the cluster in memory: a step a tick, and pods that do what their image is said to."""

from __future__ import annotations

import hashlib
import itertools
import json
from copy import deepcopy
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tests.deploy.kube.clusters import Cluster

Object = dict[str, Any]
LOGS = {
    "crash": "Traceback (most recent call last):\nKeyError: 'DATABASE_URL'\nit broke",
    "job-fails": "migration 7: column exists\nit broke",
    "unready": "waiting for the moon",
    "oom": "allocating",
}


class Controllers:
    """`behaviour`: a part of an image's reference -> what its pods do; else they run and are ready."""

    def __init__(self, cluster: Cluster) -> None:
        self.cluster = cluster
        self.behaviour: dict[str, str] = {}
        self.quota: int | None = None
        self._numbers = itertools.count(1)

    def tick(self) -> None:
        for deployment in self.cluster.find("Deployment"):
            self._deployment(deployment)
        for item in self.cluster.find("ReplicaSet"):
            self._replica_set(item)
        for item in self.cluster.find("StatefulSet"):
            self._stateful_set(item)
        for item in self.cluster.find("DaemonSet"):
            self._daemon_set(item)
        for item in self.cluster.find("Job"):
            self._job(item)
        for pod in self.cluster.find("Pod"):
            self._kubelet(pod)

    def does(self, pod: Object) -> str:
        image = pod["spec"]["containers"][0]["image"]
        return next((what for part, what in self.behaviour.items() if part in image), "runs")

    def said(self, pod: Object) -> str:
        return LOGS.get(self.does(pod), "hello")

    def pods_of(self, owner: Object) -> list[Object]:
        return [each for each in self.cluster.find("Pod") if _owner(each) == owner["metadata"]["uid"]]

    # --- Deployments -----------------------------------------------------------------------------------------------

    def _deployment(self, item: Object) -> None:
        spec, uid = item["spec"], item["metadata"]["uid"]
        sets = [each for each in self.cluster.find("ReplicaSet") if _owner(each) == uid]
        hashed = _hash(spec["template"])
        newest = next((each for each in sets if each["metadata"]["labels"]["pod-template-hash"] == hashed), None)
        top = max((_revision(each) for each in sets), default=0)
        if newest is None:
            labels = {**spec["template"]["metadata"]["labels"], "pod-template-hash": hashed}
            template = deepcopy(spec["template"])
            template["metadata"]["labels"] = labels
            made = _owned(item, "ReplicaSet", f"{item['metadata']['name']}-{hashed}", labels)
            made["apiVersion"] = "apps/v1"
            made["metadata"]["annotations"] = {_REVISION: str(top + 1)}
            made["spec"] = {"replicas": spec["replicas"], "template": template}
            newest = self.cluster.put(made)
        elif _revision(newest) < top:
            newest["metadata"]["annotations"] = {_REVISION: str(top + 1)}
            self.cluster.write(newest)
        if newest["spec"]["replicas"] != spec["replicas"]:
            newest["spec"]["replicas"] = spec["replicas"]
            self.cluster.write(newest)
        ready = sum(_ready(each) for each in self.pods_of(newest))
        for old in sets:
            if old is not newest and old["spec"]["replicas"] and ready >= spec["replicas"]:
                old["spec"]["replicas"] = 0
                self.cluster.write(old)
        all_ = [pod for each in {id(each): each for each in [*sets, newest]}.values() for pod in self.pods_of(each)]
        status = {
            "observedGeneration": item["metadata"]["generation"],
            "replicas": len(all_),
            "updatedReplicas": len(self.pods_of(newest)),
            "availableReplicas": sum(_ready(each) for each in all_),
            "conditions": (newest.get("status") or {}).get("conditions") or [],
        }
        self._status(item, status)

    def _replica_set(self, item: Object) -> None:
        pods, wanted = self.pods_of(item), item["spec"]["replicas"]
        for pod in pods[wanted:]:
            self.cluster.drop(pod)
        conditions: list[Object] = []
        for _ in range(wanted - len(pods)):
            if self.quota is not None and len(self.cluster.find("Pod")) >= self.quota:
                message = (
                    f'pods "{item["metadata"]["name"]}-x" is forbidden: exceeded quota: pods, used: pods={self.quota}'
                )
                conditions = [
                    {"type": "ReplicaFailure", "status": "True", "reason": "FailedCreate", "message": message}
                ]
                break
            self._pod(item, item["spec"]["template"], {})
        self._status(item, {"conditions": conditions})

    # --- the others ------------------------------------------------------------------------------------------------

    def _stateful_set(self, item: Object) -> None:
        """One pod at a time, and none before the one before it is ready: also a broken one is waited for."""
        spec, hashed = item["spec"], f"{item['metadata']['name']}-{_hash(item['spec']['template'])}"
        pods = sorted(self.pods_of(item), key=lambda each: each["metadata"]["name"])
        status = dict(item.get("status") or {})
        if len(pods) < spec["replicas"] and all(_ready(each) for each in pods):
            names = {each["metadata"]["name"] for each in pods}
            free = next(n for n in range(spec["replicas"]) if f"{item['metadata']['name']}-{n}" not in names)
            labels = {"controller-revision-hash": hashed}
            self._pod(item, spec["template"], labels, f"{item['metadata']['name']}-{free}")
        elif len(pods) == spec["replicas"] and all(_ready(each) for each in pods):
            old = [each for each in pods if each["metadata"]["labels"]["controller-revision-hash"] != hashed]
            if old:
                self.cluster.drop(old[-1])
            else:
                status["currentRevision"] = hashed
        pods = self.pods_of(item)
        updated = [each for each in pods if each["metadata"]["labels"]["controller-revision-hash"] == hashed]
        status |= {
            "observedGeneration": item["metadata"]["generation"],
            "updateRevision": hashed,
            "updatedReplicas": len(updated),
            "readyReplicas": sum(_ready(each) for each in pods),
            "availableReplicas": sum(_ready(each) for each in pods),
        }
        status.setdefault("currentRevision", hashed)
        self._status(item, status)

    def _daemon_set(self, item: Object) -> None:
        generation = str(item["metadata"]["generation"])
        pods = self.pods_of(item)
        for pod in pods:
            if pod["metadata"]["labels"]["pod-template-generation"] != generation:
                self.cluster.drop(pod)
        if not self.pods_of(item):
            self._pod(item, item["spec"]["template"], {"pod-template-generation": generation})
        pods = self.pods_of(item)
        item["metadata"].setdefault("annotations", {})["deprecated.daemonset.template.generation"] = generation
        status = {
            "observedGeneration": item["metadata"]["generation"],
            "desiredNumberScheduled": 1,
            "updatedNumberScheduled": len(pods),
            "numberAvailable": sum(_ready(each) for each in pods),
        }
        self._status(item, status)

    def _job(self, item: Object) -> None:
        pods = self.pods_of(item)
        if not pods:
            pods = [self._pod(item, item["spec"]["template"], {"job-name": item["metadata"]["name"]})]
        phase = (pods[0].get("status") or {}).get("phase")
        status: Object = {"active": 1}
        if phase == "Succeeded":
            status = {"succeeded": 1, "conditions": [{"type": "Complete", "status": "True"}]}
        elif phase == "Failed":
            message = "Job has reached the specified backoff limit"
            failed = {"type": "Failed", "status": "True", "reason": "BackoffLimitExceeded", "message": message}
            status = {"failed": 1, "conditions": [failed]}
        self._status(item, status)

    # --- pods ------------------------------------------------------------------------------------------------------

    def _pod(self, owner: Object, template: Object, labels: dict[str, str], name: str = "") -> Object:
        name = name or f"{owner['metadata']['name']}-{next(self._numbers):05}"
        made = _owned(owner, "Pod", name, {**template["metadata"]["labels"], **labels})
        made |= {"apiVersion": "v1", "spec": deepcopy(template["spec"])}
        return self.cluster.put(made)

    def _kubelet(self, pod: Object) -> None:
        does, container = self.does(pod), pod["spec"]["containers"][0]
        status: Object = {"name": container["name"], "image": container["image"], "ready": False, "restartCount": 0}
        conditions: list[Object] = [{"type": "PodScheduled", "status": "True"}]
        phase, ready = "Running", False
        job = pod["metadata"]["ownerReferences"][0]["kind"] == "Job"
        running = {"startedAt": pod["metadata"]["creationTimestamp"]}
        if does == "unschedulable":
            message = "0/3 nodes are available: 3 Insufficient memory."
            conditions = [{"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": message}]
            self._status(pod, {"phase": "Pending", "conditions": conditions})
            return
        if does in ("missing", "registry-down"):
            why = "not found" if does == "missing" else "dial tcp 10.0.0.1:443: i/o timeout"
            status["state"] = {"waiting": {"reason": "ImagePullBackOff", "message": "Back-off pulling image"}}
            phase = "Pending"
            self._event(pod, "Failed", f'Failed to pull image "{container["image"]}": {why}')
        elif does == "config":
            waiting = {"reason": "CreateContainerConfigError", "message": 'configmap "shop-settings" not found'}
            status["state"], phase = {"waiting": waiting}, "Pending"
        elif job and does in ("crash", "job-fails"):
            status["state"], phase = {"terminated": {"exitCode": 1, "reason": "Error"}}, "Failed"
        elif job:
            status["state"], phase = {"terminated": {"exitCode": 0, "reason": "Completed"}}, "Succeeded"
        elif does in ("crash", "oom"):
            ended = {"exitCode": 3, "reason": "Error"} if does == "crash" else {"exitCode": 137, "reason": "OOMKilled"}
            message = "back-off 10s restarting failed container"
            status |= {"restartCount": 1, "lastState": {"terminated": ended}}
            status["state"] = {"waiting": {"reason": "CrashLoopBackOff", "message": message}}
        elif does == "unready":
            status["state"] = {"running": running}
            self._event(pod, "Unhealthy", "Readiness probe failed: HTTP probe failed with statuscode: 503")
        elif does == "runs":
            status |= {"state": {"running": running}, "ready": True}
            ready = True
        conditions.append({"type": "Ready", "status": "True" if ready else "False"})
        self._status(
            pod, {"phase": phase, "podIP": "10.1.0.7", "conditions": conditions, "containerStatuses": [status]}
        )

    def _event(self, about: Object, reason: str, message: str) -> None:
        uid = about["metadata"]["uid"]
        if any(
            each["involvedObject"]["uid"] == uid and each["reason"] == reason for each in self.cluster.find("Event")
        ):
            return
        self.cluster.put(
            {
                "apiVersion": "v1",
                "kind": "Event",
                "metadata": {"name": f"event-{next(self._numbers)}", "namespace": about["metadata"]["namespace"]},
                "involvedObject": {"kind": about["kind"], "name": about["metadata"]["name"], "uid": uid},
                "type": "Warning",
                "reason": reason,
                "message": message,
                "lastTimestamp": self.cluster.now(),
            }
        )

    def _status(self, item: Object, status: Object) -> None:
        if item.get("status") != status:
            item["status"] = status
            self.cluster.write(item)


_REVISION = "deployment.kubernetes.io/revision"


def _revision(item: Object) -> int:
    return int(item["metadata"]["annotations"][_REVISION])


def _owner(item: Object) -> str:
    owners = item["metadata"].get("ownerReferences") or [{"uid": ""}]
    return str(owners[0]["uid"])


def _owned(owner: Object, kind: str, name: str, labels: dict[str, str]) -> Object:
    meta = owner["metadata"]
    reference = {"kind": owner["kind"], "name": meta["name"], "uid": meta["uid"], "controller": True}
    return {
        "kind": kind,
        "metadata": {"name": name, "namespace": meta["namespace"], "labels": labels, "ownerReferences": [reference]},
    }


def _ready(pod: Object) -> bool:
    conditions = (pod.get("status") or {}).get("conditions") or ()
    return any(each["type"] == "Ready" and each["status"] == "True" for each in conditions)


def _hash(template: Object) -> str:
    return hashlib.sha256(json.dumps(template, sort_keys=True).encode()).hexdigest()[:9]
