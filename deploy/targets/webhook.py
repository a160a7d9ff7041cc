"""Another tool takes the release over: it is asked by a signed request, and followed until it says how it ended.

Rules:
1. A hand-over is a row before it is sent, and has one delivery key (`webhook-id`) for every repeat, whoever sends it.
   It is sent until the other tool has taken it (2xx), and from then on only followed.
2. The request names the controller's epoch. A tool that knows a newer one refuses it; so does the row.
3. A callback moves the row; a status is asked where there is one. What the other side says counts when it is signed
   with the secret that both know, or comes from the status address that the policy names. All else tells nothing.
4. Silence, nonsense, a redirect, an error of the server: nothing is known. Before it was taken that is missing
   infrastructure, afterwards it is a look that learnt nothing. Neither blames the change.
5. A restore hands the old release over again, or makes the call that the policy has for that. What was never sent needs
   none. From then on what the new release's hand-over says does not count.
6. What goes into the journal is bounded, and none of our secrets is in it.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Any, Final
from urllib.parse import urlencode

from deploy.checks import web
from deploy.targets import contents, handing
from deploy.targets.fence import Fence
from deploy.targets.handovers import Handovers
from deploy.targets.protocol import DONE, Ended, Observed, Order, Outcome, Package, Target
from deploy.targets.site import Site
from farmgate import handovers
from farmgate.clock import Clock
from farmgate.errors import BadPayload, BadSignature, StaleEpoch, TargetError
from farmgate.handovers import Told
from farmgate.masks import Masks
from farmgate.models import HandoverRow
from farmgate.policy.checks import slots
from farmgate.policy.targets.webhook import SECRET, Call, Status, WebhookTarget
from farmgate.states import Handover
from farmgate.webhooks.signatures import check_standard, sign_standard

LIMIT_BYTES: Final = 4 * 2**20
RESTORE: Final = "restore"
TAKEN: Final = Told(Handover.TAKEN, text="handed over")
Ask = Callable[[web.Request, timedelta, int], web.Fetched]
_ENDS: Final = {
    Handover.DONE: Ended.DONE,
    Handover.FAILED: Ended.FAILED,
    Handover.UNTOLD: Ended.UNTOLD,
    Handover.OVER: Ended.UNTOLD,
}


class HandedOverTarget:
    """The tool of one lane."""

    def __init__(
        self,
        book: Handovers,
        fence: Fence,
        clock: Clock,
        farm: str,
        secret: Callable[[str], str],
        ask: Ask = web.ask,
    ) -> None:
        self._book = book
        self._fence = fence
        self._clock = clock
        self._farm = farm
        self._secret = secret
        self._ask = ask

    def prepare(self, order: Order) -> Outcome:
        self._fence.enter(order.epoch)
        _target(order.new)
        contents.digest_of(order.new)
        return DONE

    def shift(self, order: Order, share: int) -> Outcome:
        self._fence.enter(order.epoch)
        target = _target(order.new)
        share = share if order.old is not None else 100
        if share < 100 and not target.shares:
            return Outcome(Ended.FAILED, "this tool takes everything or nothing: one wave, of 100")
        return self._carry(order, f"shift-{share}", target.call, share)

    def observe(self, order: Order) -> Observed:
        return Observed(words="the other tool knows")

    def finish(self, order: Order) -> Outcome:
        self._fence.enter(order.epoch)
        return DONE

    def restore(self, order: Order) -> Outcome:
        self._fence.enter(order.epoch)
        target, rollout = _target(order.new), order.new.rollout_id
        if not self._book.any(rollout):
            return Outcome(words="nothing was handed over")
        self._book.over(rollout, but=RESTORE)
        call = target.restore or target.call
        if order.old is None and target.restore is None and not call.is_ours:
            words = (
                "nothing was live before that could be handed over, and the policy has no 'restore' call: "
                "take it down by hand"
            )
            return Outcome(Ended.FAILED, words)
        return self._carry(order, RESTORE, call, 100)

    def tend(self, live: Package, epoch: int) -> None:
        """The other tool looks after it."""
        self._fence.check(epoch)

    def watch(self, epoch: int) -> bool:
        return False

    def remove(self, epoch: int) -> None:
        """Nothing of ours is anywhere; what the other tool runs is its own."""
        self._fence.enter(epoch)

    # --- sending -----------------------------------------------------------------------------------------------------

    def _carry(self, order: Order, step: str, call: Call, share: int) -> Outcome:
        """Send it if it is not known to be taken; else look how it stands."""
        target, rollout = _target(order.new), order.new.rollout_id
        heard = self._book.tellings(rollout)  # before the look: what comes meanwhile is looked at again
        row = self._book.of(rollout, step)
        if row is None or row.state is Handover.SENDING:
            self._book.over(rollout, but=step)
            delivery = row.delivery if row is not None else f"{self._farm}-{rollout}-{step}"
            row = self._book.begin(rollout, step, delivery, order.epoch, target.within)
            if row.state is Handover.SENDING:
                row = self._send(order, row, call, share)
        elif row.state is Handover.TAKEN and target.status is not None:
            values = self._values(order, row, share)
            try:
                row = self._book.looked(row, self._look(target, target.status, row, values))
            except handing.Unknown as unknown:
                row = self._book.of(rollout, step) or row  # a callback may have come meanwhile
                if row.state is Handover.TAKEN:
                    return _outcome(row, share, heard, unknown=self._masked(target, f"{unknown}"))
        return _outcome(row, share, heard)

    def _send(self, order: Order, row: HandoverRow, call: Call, share: int) -> HandoverRow:
        target, values = _target(order.new), self._values(order, row, share)
        headers = {"content-type": "application/json", **self._headers(call.headers, values)}
        if call.form is not None:
            content = urlencode({name: handing.text(each, values) for name, each in call.form.items()}).encode()
            headers = {**headers, "content-type": "application/x-www-form-urlencoded"}
        elif call.body is not None:
            content = json.dumps(handing.document(call.body, values)).encode()
        else:
            content = json.dumps(self._standard(order, row, values)).encode()
        url = handing.address(call.url, values)
        signed = self._signed(target, row.delivery, content)
        self._fence.check(order.epoch)
        try:
            found = self._ask(
                web.Request(call.method, url, {**headers, **signed}, content), target.timeout, LIMIT_BYTES
            )
        except (web.Unreachable, web.Silent, web.Nonsense) as error:
            raise TargetError(self._masked(target, f"handing over: {error}")) from None
        answer = _json(found)
        if found.status == 409 and isinstance(answer, dict):
            theirs = answer.get("epoch")
            if isinstance(theirs, int) and theirs > order.epoch:
                raise StaleEpoch(f"{url} has seen epoch {theirs}, and this is {order.epoch}")
        if not 200 <= found.status < 300:
            raise TargetError(self._masked(target, _refused(url, found)))
        said = TAKEN
        if call.is_ours and isinstance(answer, dict) and "state" in answer:
            said = self._believed(target, row, found) or TAKEN
        location = found.headers.get("location")
        return self._book.answered(row, said, handing.kept(target.status, answer, location, url))

    def _standard(self, order: Order, row: HandoverRow, values: handing.Values) -> dict[str, Any]:
        """Our own message: a type, a time and data, as Standard Webhooks has it."""
        back = row.step == RESTORE
        wanted, other = (order.old, order.new) if back else (order.new, order.old)
        return {
            "type": "rollout.restore" if back else "rollout.shift",
            "timestamp": self._clock.now().isoformat(),
            "data": {
                "delivery": row.delivery,
                "lane": order.lane,
                "rollout": order.new.rollout_id,
                "epoch": row.epoch,
                "share": values["share"],
                "callback": values["callback"],
                **_package(wanted),
                "previous": _package(other) if other is not None else None,
            },
        }

    def _values(self, order: Order, row: HandoverRow, share: int) -> dict[str, handing.Value]:
        back = row.step == RESTORE
        wanted, other = (order.old, order.new) if back else (order.new, order.old)
        application, _, environment = order.lane.partition("/")
        return {
            "sha": wanted.sha if wanted is not None else None,
            "previous_sha": other.sha if other is not None else None,
            "artifact": _digest(wanted),
            "previous_artifact": _digest(other),
            "rollout": order.new.rollout_id,
            "epoch": row.epoch,
            "share": share,
            "step": RESTORE if back else "shift",
            "application": application,
            "environment": environment,
            "delivery": row.delivery,
            "callback": self._book.callback(row) if _target(order.new).callback else None,
        }

    def _headers(self, given: Mapping[str, str], values: handing.Values) -> dict[str, str]:
        """With their values and secrets; a secret that would break a header is refused by name."""
        found = {}
        for name, value in given.items():
            secrets = {
                slot: self._secret(slot.removeprefix(SECRET)) for slot in slots(value) if slot.startswith(SECRET)
            }
            for slot, opened in secrets.items():
                if not (opened.isascii() and opened.isprintable()):
                    raise TargetError(f"the secret {slot.removeprefix(SECRET)} is no value of a header")
            found[name.lower()] = handing.text(value, {**values, **secrets})
        return found

    # --- following ---------------------------------------------------------------------------------------------------

    def _look(self, target: WebhookTarget, status: Status, row: HandoverRow, values: handing.Values) -> Told:
        """What its status says. Raises Unknown."""
        try:
            url = handing.address(status.url, {**values, **row.answer})
            headers = self._headers(status.headers, values)
            signed = self._signed(target, row.delivery, b"")
            found = self._ask(web.Request("GET", url, {**headers, **signed}), target.timeout, LIMIT_BYTES)
        except TargetError as error:  # a secret that is gone
            raise handing.Unknown(str(error)) from None
        except (web.Unreachable, web.Silent, web.Nonsense) as error:
            raise handing.Unknown(f"its status cannot be asked: {error}") from None
        if found.status != 200:
            raise handing.Unknown(_refused(url, found))
        if status.done is not None:
            try:
                return handing.read(status, handovers.parsed(found.body or b""), values)
            except BadPayload as error:
                raise handing.Unknown(f"{url}: {error}") from None
        said = self._believed(target, row, found)
        if said is None:
            raise handing.Unknown(f"{url} answered without a good signature: is the secret there the same as here?")
        return said

    def _believed(self, target: WebhookTarget, row: HandoverRow, found: web.Fetched) -> Told | None:
        """An answer in our own form, if it is signed and about this delivery. Raises Unknown for a signed nonsense."""
        if target.secret is None:
            return None
        try:
            check_standard(self._secret(target.secret), found.headers, found.body or b"", self._clock.now())
        except BadSignature:
            return None
        if found.headers.get("webhook-id") != row.delivery:
            return None
        try:
            return handovers.told(handovers.parsed(found.body or b""))
        except BadPayload as error:
            if row.state is Handover.SENDING:
                return None
            raise handing.Unknown(f"its status tells nonsense: {error}") from None

    def _signed(self, target: WebhookTarget, delivery: str, content: bytes) -> dict[str, str]:
        """The headers of Standard Webhooks; without a secret the delivery key alone."""
        if target.secret is None:
            return {"webhook-id": delivery}
        try:
            return sign_standard(self._secret(target.secret), delivery, content, self._clock.now())
        except BadSignature:
            how = 'make one with: echo "whsec_$(openssl rand -base64 32)"'
            raise TargetError(f"the secret {target.secret} cannot sign: it must be whsec_ and base64; {how}") from None

    def _masked(self, target: WebhookTarget, words: str) -> str:
        """Other tools say back what they were sent."""
        given = [*target.headers.values(), *(target.restore.headers.values() if target.restore else ())]
        given += list(target.status.headers.values()) if target.status is not None else []
        names = {slot.removeprefix(SECRET) for value in given for slot in slots(value) if slot.startswith(SECRET)}
        values = []
        for name in sorted(names | ({target.secret} if target.secret else set())):
            try:
                values.append(self._secret(name).encode())
            except TargetError:
                continue
        return Masks(values).text(words)


def _outcome(row: HandoverRow, share: int, heard: int, unknown: str = "") -> Outcome:
    figures: dict[str, Any] = {"tellings": heard}
    if row.link:
        figures["link"] = row.link
    if unknown:
        return Outcome(Ended.GOES_ON, unknown, {**figures, "unknown": True})
    if row.share is not None:
        figures["served"] = row.share
    words = row.text or ("handed over" if row.state is Handover.TAKEN else "")
    if row.state is Handover.OVER:
        words = f"it did not end in its time; the last word was: {words or 'none'}"
    if row.state is Handover.TAKEN:
        # A share is reached when so many have it, whatever the tool calls it.
        done = row.share is not None and row.share >= share and share < 100
        return Outcome(Ended.DONE if done else Ended.GOES_ON, words, figures)
    return Outcome(_ENDS[row.state], words or str(row.state), figures)


def _package(package: Package | None) -> dict[str, Any]:
    if package is None:
        return {"sha": None, "artifacts": {}}
    return {"sha": package.sha, "artifacts": dict(package.artifacts)}


def _digest(package: Package | None) -> str | None:
    """Of the artifact that the target names."""
    if package is None or package.target.artifact is None:
        return None
    return package.artifacts.get(package.target.artifact)


def _json(found: web.Fetched) -> Any:
    """The answer's JSON, if it is some."""
    try:
        return handovers.parsed(found.body or b"")
    except BadPayload:
        return None


def _refused(url: str, found: web.Fetched) -> str:
    """A status that is no yes, in words."""
    said = handovers.words((found.body or b"")[:1000].decode(errors="replace"))[:300]
    if 300 <= found.status < 400:
        where = handovers.link(found.headers.get("location")) or "elsewhere"
        return f"{url} answered {found.status}, to {where}: redirects are not followed, write the right address"
    return f"{url} answered {found.status}: {said or 'nothing'}"


def _target(package: Package) -> WebhookTarget:
    if not isinstance(package.target, WebhookTarget):
        raise TargetError(
            f"release {package.sha[:12]} was made for a {package.target.type} target, not for another tool"
        )
    return package.target


def make(site: Site) -> Target:
    """The target of a lane."""
    if site.handovers is None:
        raise TargetError("this deploy loop keeps no hand-overs")
    return HandedOverTarget(site.handovers, site.fence, site.clock, site.farm, site.secret)
