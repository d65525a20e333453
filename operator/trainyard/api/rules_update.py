"""Rules over changes. Only the API server sees the old object, so these have no Python half.

What shapes an attempt changes only where the old object was suspended: to resume and edit in one write is allowed, to
suspend and edit is not. What shapes no attempt (`failurePolicy`, deadlines, clean-up) changes at any time.
"""

from trainyard.api.hashing import ATTEMPT_FIELDS
from trainyard.api.rule import CONTAINER_NAMES, Rule

_OPTIONAL = ("rdma", "checkpoint")
_INIT_CONTAINER_NAMES = (
    "roles.map(r, has(r.template.spec.initContainers) ? r.template.spec.initContainers.map(c, c.name) : [])"
)
_SUSPEND = (
    'suspend the job first (`kubectl patch tj NAME --type merge -p \'{"spec":{"suspend":true}}\'`), '
    "then edit, then resume"
)


def _unchanged(field: str) -> str:
    same = f"self.{field} == oldSelf.{field}"
    if field == "roles":
        # Lists with keys are equal in any order. But the first container may be the trainer by its place alone, and
        # init containers run one after the other.
        orders = (CONTAINER_NAMES, _INIT_CONTAINER_NAMES)
        return " && ".join((same, *(f"self.{names} == oldSelf.{names}" for names in orders)))
    if field not in _OPTIONAL:
        return same
    return f"has(self.{field}) == has(oldSelf.{field}) && (!has(self.{field}) || {same})"


def _while_suspended(field: str) -> Rule:
    return Rule(
        id=f"{field}-while-suspended",
        at=("spec",),
        field=field,
        cel=f"oldSelf.suspend || ({_unchanged(field)})",
        what=f"{field} can change only while the job is suspended",
        mend=_SUSPEND,
        holds=None,
    )


UPDATE_RULES = (
    *(_while_suspended(field) for field in ATTEMPT_FIELDS),
    Rule(
        id="role-order",
        at=("spec",),
        field="roles",
        cel="self.roles.map(r, r.name).filter(n, oldSelf.roles.exists(o, o.name == n)) == "
        "oldSelf.roles.map(o, o.name).filter(n, self.roles.exists(r, r.name == n))",
        what="the order of the roles gives the ranks and cannot change",
        mend="list the roles in their old order; a new role may stand anywhere",
        holds=None,
    ),
    Rule(
        id="managed-by-fixed",
        at=("spec",),
        cel="has(self.managedBy) == has(oldSelf.managedBy) && "
        "(!has(self.managedBy) || self.managedBy == oldSelf.managedBy)",
        what="managedBy can never change, be added or be removed",
        mend="delete the job and apply it again with the managedBy that you want",
        holds=None,
    ),
)
