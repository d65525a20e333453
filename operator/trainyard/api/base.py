"""What every API model shares: camelCase on the wire, frozen in memory, numbers that are really numbers."""

from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, StrictBool, StrictInt
from pydantic.alias_generators import to_camel


class Model(BaseModel):
    """A part of a spec: unknown fields are refused, as the API server refuses them at apply."""

    model_config = ConfigDict(
        alias_generator=to_camel, populate_by_name=True, frozen=True, extra="forbid", use_attribute_docstrings=True
    )


class StatusModel(Model):
    """A part of a status: what another build wrote there and this one does not know is dropped."""

    model_config = ConfigDict(extra="ignore")


def _whole(value: Any) -> Any:
    # JSON has one kind of number: the API server stores 8.0 for 8 where a client sent it so.
    return int(value) if isinstance(value, float) and value.is_integer() else value


Whole = Annotated[StrictInt, BeforeValidator(_whole)]
Flag = StrictBool

KEEP_DEFAULT_OUT = {"x-no-default": True}

Quantity = Annotated[
    str | StrictInt,
    Field(
        json_schema_extra={
            "x-quantity": True,
        }
    ),
]
"""A Kubernetes quantity as users write it: `1Ti`, `500Gi`, or a plain number."""


def name(limit: int) -> Any:
    """Bounds of a name: never empty, never longer than `limit`."""
    return Field(min_length=1, max_length=limit)
