"""Where a run lives and as whom it is reached: plain values that go with every call to its platform."""

from __future__ import annotations

from dataclasses import dataclass, replace


@dataclass(frozen=True, slots=True)
class Access:
    """A role to assume. `namespace` is whose job the call is for, empty for calls that serve a whole profile: each has
    a session of its own, so that CloudTrail and policies can tell them apart."""

    role_arn: str
    external_id: str | None
    profile: str
    namespace: str = ""


@dataclass(frozen=True, slots=True)
class Place:
    """An account and region; `access` None means the operator's own identity."""

    account: str
    region: str
    access: Access | None = None

    @property
    def identity(self) -> str:
        """Who calls here, for messages: to whom a statement that is missing has to be given."""
        if self.access is None:
            return "the operator's identity"
        return f"the role {self.access.role_arn} of SFTProfile {self.access.profile}"

    @property
    def shared(self) -> Place:
        """The same for what is asked of all namespaces of the profile at once."""
        return self if self.access is None else replace(self, access=replace(self.access, namespace=""))
