"""A bad line, as tc-netem(8) makes one: late, lost, doubled, damaged, slow packets.

Owns the fields and tc's words for them. Leaves which line it is to `topology`, and making it to
`equipment/`.
"""

from typing import Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from config.units import format_duration, format_rate
from config.values import Duration, Percent, Rate

MOST_DELAY = 10_000_000  # microseconds; with more nothing answers in time
ALL = 100.0  # percent


class Netem(BaseModel):
    """What a line does to the packets of each direction, as tc-netem(8) has it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    delay: Duration | None = Field(None, description="Packets come this much later, 10s at most.")
    jitter: Duration | None = Field(
        None, description="The delay varies by this much up and down; at most the delay."
    )
    loss: Percent | None = Field(None, description="The share of packets that are lost.")
    duplicate: Percent | None = Field(None, description="The share of packets that come twice.")
    corrupt: Percent | None = Field(
        None, description="The share of packets in which one bit is wrong."
    )
    reorder: Percent | None = Field(
        None, description="The share of packets that come at once, before delayed ones."
    )
    rate: Rate | None = Field(
        None, description="What goes through in a second at most, all headers included."
    )

    @model_validator(mode="after")
    def _does_something(self) -> Self:
        if not self.model_fields_set or all(value is None for _, value in self):
            known = ", ".join(type(self).model_fields)
            raise ValueError(f"a bad line does something; give one of: {known}")
        if self.delay and self.delay > MOST_DELAY:
            raise ValueError(f"a delay is {format_duration(MOST_DELAY)} at most; make it shorter")
        if self.jitter and self.jitter > (self.delay or 0):
            raise ValueError("jitter is at most the delay; give a delay as large or larger")
        for key in ("loss", "corrupt"):
            if getattr(self, key) == ALL:
                raise ValueError(
                    f"with {key} of 100% nothing gets through; give less, or leave out the network"
                )
        if self.reorder == ALL:
            raise ValueError("with reorder of 100% nothing is delayed; give less, or no delay")
        if self.reorder and not self.delay:
            raise ValueError("only delayed packets can be overtaken; give a delay, e.g. 10ms")
        return self

    @property
    def words(self) -> tuple[str, ...]:
        """The options of `tc qdisc … netem`."""
        found: list[str] = []
        if self.delay:
            found += ["delay", format_duration(self.delay)]
            found += [format_duration(self.jitter)] if self.jitter else []
        for key in ("loss", "duplicate", "corrupt", "reorder"):
            share: float | None = getattr(self, key)
            found += [key, f"{share:g}%"] if share else []
        found += ["rate", format_rate(self.rate)] if self.rate else []
        return tuple(found)
